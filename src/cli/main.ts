import { Command, CommanderError } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { registerAdd } from "./commands/add.ts";
import { registerCheck } from "./commands/check.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerForget } from "./commands/forget.ts";
import { registerImport } from "./commands/import.ts";
import { registerList } from "./commands/list.ts";
import { registerPublish } from "./commands/publish.ts";
import { registerRemove } from "./commands/remove.ts";
import { registerStatus } from "./commands/status.ts";
import { registerSync } from "./commands/sync.ts";
import { registerVerify } from "./commands/verify.ts";
import { EXIT_CODES, Exit, reasonOf } from "./terminal/exit.ts";
import { listenForInterrupts } from "./terminal/interrupt.ts";
import { note } from "./terminal/output.ts";

const EXIT_CODES_HELP = `
Exit codes:
    0  done
    1  failed
    2  wrong usage
    3  done in part: something was left out, and is named on stderr; or what was
       verified is denied; or \`doctor\` has found something to do
  130  interrupted by Ctrl-C

Data goes to stdout, everything else to stderr.`;

// All registered here, so that a subcommand is a file in commands/ and a line in this list.
const SUBCOMMANDS = [
  registerAdd,
  registerImport,
  registerSync,
  registerRemove,
  registerList,
  registerStatus,
  registerDoctor,
  registerCheck,
  registerVerify,
  registerPublish,
  registerForget,
];

const program = new Command("resource-pool")
  .description(
    "Fills and inspects the cache behind Cloud Foundry's POST /v3/resource_matches: it knows which files the " +
      "platform's resource pool holds, so that `cf push` uploads only the others.",
  )
  .version(manifest.version)
  .exitOverride()
  .configureHelp({ helpWidth: 80 })
  .showHelpAfterError("`--help` tells how it is used.")
  .addHelpText("afterAll", EXIT_CODES_HELP);
for (const register of SUBCOMMANDS) register(program);

async function run(): Promise<number> {
  try {
    await program.parseAsync();
    return EXIT_CODES.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_CODES.done : EXIT_CODES["wrong-usage"];
    }
    if (error instanceof Exit) {
      if (error.message) note(error.message);
      return error.code;
    }
    note(reasonOf(error));
    return EXIT_CODES.failed;
  }
}

/** `| head` has read enough. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT_CODES.done : EXIT_CODES.failed);
});
listenForInterrupts();

const code = await run();
// What was written must have left first; and something that hangs must not keep the command from ending.
process.stdout.write("", () => process.exit(code));
