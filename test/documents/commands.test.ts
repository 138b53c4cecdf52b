import { beforeAll, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { resourcePoolInThread } from "../cli/command.ts";
import { readDocuments } from "./documents.ts";
import { readMarkdown } from "./markdown.ts";

/** Options of each subcommand of `resource-pool`, from its help. "" has the options of all. */
const subcommands = new Map<string, Set<string>>();

beforeAll(async () => {
  const readHelp = async (...subcommand: string[]) => {
    const { stdout } = await resourcePoolInThread([...subcommand, "--help"]);
    return { help: stdout, options: new Set(stdout.match(/(?<![\w-])--[a-z][\w-]*/g)) };
  };
  const { help, options } = await readHelp();
  subcommands.set("", options);
  const names = help.split(/^Commands:$/m)[1]?.match(/^ {2}[a-z]+/gm) ?? [];
  for (const name of names.map((line) => line.trim())) {
    if (name === "help") continue;
    const own = (await readHelp(name)).options;
    subcommands.set(name, own);
    for (const option of own) options.add(option);
  }
}, 60_000);

/** Returns the npm scripts, subcommands and options in lines of code that do not exist. */
function findUnknown(code: readonly string[]): string[] {
  return code.flatMap((line) => [...findUnknownScripts(line), ...findUnknownOptions(line)]);
}

function findUnknownScripts(line: string): string[] {
  const named = [...line.matchAll(/\bnpm run (?:-\S+ )*([a-z][\w:-]*)/g)].map(([, script = ""]) => script);
  return named.filter((script) => !(script in manifest.scripts)).map((script) => `npm run ${script}`);
}

function findUnknownOptions(line: string): string[] {
  const commands = line.matchAll(/(?:^|[\s/(])resource-pool(?:\.mjs|\.js)?"?(?: --)?((?: [^|;&`)]+)?)/g);
  return [...commands].flatMap(([, rest = ""]) => {
    const words = rest.trim().split(/\s+/);
    const [first = ""] = words;
    const name = /^[a-z]+$/.test(first) ? first : "";
    const known = subcommands.get(name);
    if (!known) return [`resource-pool ${name}`];
    const options = words.flatMap((word) => /^--[a-z][\w-]*/.exec(word) ?? []);
    return options.filter((option) => !known.has(option)).map((option) => `resource-pool ${name} ${option}`);
  });
}

it("finds only existing npm scripts, subcommands and options in the documents", () => {
  expect([...subcommands.keys()]).toEqual(expect.arrayContaining(["", "add", "sync", "verify", "forget"]));
  const unknown = [...readDocuments()].flatMap(([path, { code }]) =>
    findUnknown(code).map((command) => `${path}: ${command}`),
  );
  expect(unknown).toEqual([]);
});

it("finds unknown npm scripts, subcommands and options", () => {
  const text = `
Of \`npm run nothing\` and \`npm run -s resource-pool -- guess\`:

    npm run -s resource-pool -- sync --prun --blobstore <place> \\
      --ur http://localhost:8787 | resource-pool import - --dry-run && npm run test
    node "$(dirname "$0")/resource-pool.mjs" list --jsn
`;
  expect(findUnknown(readMarkdown(text).code)).toEqual([
    "npm run nothing",
    "resource-pool guess",
    "resource-pool sync --prun",
    "resource-pool sync --ur",
    "resource-pool list --jsn",
  ]);
});
