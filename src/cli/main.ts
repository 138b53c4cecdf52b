import { Command, CommanderError } from "commander";
// build.js leaves only the fields that are used here.
import manifest from "../../package.json" with { type: "json" };
import { type EndpointOptions, withEndpointOptions } from "./api/endpoint.ts";
import { addCommand } from "./commands/add.ts";
import { checkCommand } from "./commands/check.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { forgetCommand } from "./commands/forget.ts";
import { importCommand } from "./commands/import.ts";
import { listCommand } from "./commands/list.ts";
import { publishCommand } from "./commands/publish.ts";
import { removeCommand } from "./commands/remove.ts";
import { statusCommand } from "./commands/status.ts";
import { syncCommand } from "./commands/sync.ts";
import { verifyCommand } from "./commands/verify.ts";
import { readAuthorities } from "./network/authorities.ts";
import { EXIT_CODES, Exit, reasonOf } from "./terminal/exit.ts";
import { listenForInterrupts } from "./terminal/interrupt.ts";
import { note } from "./terminal/output.ts";

const DOCUMENTS = `${manifest.homepage.replace(/#.*/, "")}/blob/main/docs`;

const EXIT_CODES_HELP = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 incomplete, 130 interrupted.
${DOCUMENTS}/cli.md`;

const WITHOUT_SUBCOMMAND = `Usage: resource-pool <command> --url <the Worker's URL>

Most used:
  doctor                     check a deployed Worker, and print what to do
  check <path>               show which files of an app a push would upload
  sync --blobstore <place>   add the resource pool in a blobstore to the cache

All commands: resource-pool --help`;

const SUBCOMMANDS = [
  addCommand,
  importCommand,
  syncCommand,
  removeCommand,
  listCommand,
  statusCommand,
  doctorCommand,
  checkCommand,
  verifyCommand,
  publishCommand,
  forgetCommand,
];

const program = new Command("resource-pool")
  .description("Fills and inspects the cache of Cloud Foundry's POST /v3/resource_matches.")
  .version(manifest.version)
  .exitOverride()
  .configureHelp({
    helpWidth: Math.min(80, process.stdout.columns || 80),
    // Wrap the texts of options in narrow terminals too.
    minWidthToWrap: 10,
  })
  .showHelpAfterError("Run the command with --help to see its usage.")
  .addHelpText("after", EXIT_CODES_HELP)
  .hook("preAction", (_, subcommand) => {
    const { caFile } = subcommand.opts<EndpointOptions>();
    if (caFile !== undefined) readAuthorities(caFile);
  });
for (const command of SUBCOMMANDS) {
  program.addCommand(withEndpointOptions(command).copyInheritedSettings(program));
}

async function run(): Promise<number> {
  try {
    if (process.argv.length === 2) throw new Exit("usage", WITHOUT_SUBCOMMAND);
    await program.parseAsync();
    return EXIT_CODES.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_CODES.done : EXIT_CODES.usage;
    }
    if (error instanceof Exit) {
      if (error.message) note(error.message);
      return EXIT_CODES[error.reason];
    }
    note(reasonOf(error));
    return EXIT_CODES.failed;
  }
}

// `| head` closes the pipe once it has read enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT_CODES.done : EXIT_CODES.failed);
});
listenForInterrupts();

const code = await run();
// Exits even if a connection hangs, but after stdout was flushed.
process.stdout.write("", () => process.exit(code));
