import { beforeAll, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { resourcePoolInThread } from "../cli/command.ts";
import { readDocuments } from "./documents.ts";
import { readMarkdown } from "./markdown.ts";

/** The options of each subcommand of `resource-pool`, as its help tells them; of "" those of all. */
const subcommands = new Map<string, Set<string>>();

beforeAll(async () => {
  const optionsOf = async (...subcommand: string[]) => {
    const { stdout } = await resourcePoolInThread([...subcommand, "--help"]);
    return { help: stdout, options: new Set(stdout.match(/(?<![\w-])--[a-z][\w-]*/g)) };
  };
  const { help, options } = await optionsOf();
  subcommands.set("", options);
  const names = help.split(/^Commands:$/m)[1]?.match(/^ {2}[a-z]+/gm) ?? [];
  for (const name of names.map((line) => line.trim())) {
    if (name === "help") continue;
    const own = (await optionsOf(name)).options;
    subcommands.set(name, own);
    for (const option of own) options.add(option);
  }
});

/** What lines of code name that the project has not. */
function unknownCommands(code: readonly string[]): string[] {
  return code.flatMap((line) => [...unknownScripts(line), ...unknownOptions(line)]);
}

function unknownScripts(line: string): string[] {
  const named = [...line.matchAll(/\bnpm run (?:-\S+ )*([a-z][\w:-]*)/g)].map(([, script = ""]) => script);
  return named.filter((script) => !(script in manifest.scripts)).map((script) => `npm run ${script}`);
}

function unknownOptions(line: string): string[] {
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

it("every npm script, subcommand and option that the documents name exists", () => {
  expect([...subcommands.keys()]).toEqual(expect.arrayContaining(["", "add", "sync", "verify", "forget"]));
  const unknown = [...readDocuments()].flatMap(([path, { code }]) =>
    unknownCommands(code).map((command) => `${path}: ${command}`),
  );
  expect(unknown).toEqual([]);
});

it("one that does not exist is found", () => {
  const text = `
Of \`npm run nothing\` and \`npm run -s resource-pool -- guess\`:

    npm run -s resource-pool -- sync --prun --blobstore <place> \\
      --ur http://localhost:8787 | resource-pool import - --dry-run && npm run test
    node "$(dirname "$0")/resource-pool.mjs" list --jsn
`;
  expect(unknownCommands(readMarkdown(text).code)).toEqual([
    "npm run nothing",
    "resource-pool guess",
    "resource-pool sync --prun",
    "resource-pool sync --ur",
    "resource-pool list --jsn",
  ]);
});
