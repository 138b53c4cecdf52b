import type { Command } from "commander";
import { formatCount } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { withEndpointOptions } from "../api/endpoint.ts";
import { OnePool } from "../blobstore/one-pool.ts";
import type { Passed } from "../blobstore/stored-object.ts";
import { inputLines, type Line } from "../input-lines.ts";
import { parseResourceLine } from "../resource-line.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { type AddOptions, addResources } from "./add-resources.ts";

export function registerImport(program: Command): void {
  const command = program
    .command("import")
    .summary("add the resources of a list to the cache")
    .description(
      "Adds the resources of a list to the cache. A line is one of\n\n" +
        "  <sha1> <size in bytes>                                  as `list` prints it\n" +
        '  {"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}  as `list --json` does\n' +
        "  <size in bytes> <anything>/app_bits_cache/ab/cd/<sha1>  as `find` below does\n\n" +
        "or the last with the size at its end; each also behind what `bosh ssh` puts before a line. Blank lines, lines " +
        "that begin with #, and other paths are passed over. A line that is wrong is told with its number; the others " +
        "are imported all the same, and the exit code is 3.\n\n" +
        "A file counts as seen when it was written last, stdin when the command begins: import no list of which " +
        "something had left the pool by then. What was seen more than a day ago is not believed.",
    )
    .argument("<file>", "the list; - is stdin")
    .option("--dry-run", "say how many there are, and tell the Worker nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  resource-pool import resources.txt --url https://api.example.com\n" +
        "  bosh -d cf ssh singleton-blobstore -c \\\n" +
        "    \"sudo find /var/vcap/store/shared -path '*/app_bits_cache/*' \\\n" +
        "    -type f -printf '%s %p\\n'\" \\\n" +
        "    | resource-pool import - --url https://api.example.com",
    );

  withEndpointOptions(command).action((file: string, options: AddOptions) =>
    addResources(options, async () => {
      const passed: Passed = { skipped: 0, leftOut: 0 };
      const { lines, partRead, age } = await inputLines(file);
      return {
        keys: keysOf(lines, file, passed),
        age,
        totalOf: (read) => {
          const part = partRead();
          return part && read / part;
        },
        leftOut: () => ({ counts: { ...passed }, isIncomplete: passed.leftOut > 0 }),
      };
    }),
  );
}

async function* keysOf(
  lines: AsyncIterable<Line>,
  file: string,
  passed: Passed,
): AsyncGenerator<ResourceKey> {
  const pool = new OnePool();
  let found = 0;
  for await (const { number, text } of lines) {
    let key: ResourceKey | undefined;
    try {
      key = parseResourceLine(text, (path) => pool.sha1Of(path));
    } catch (error) {
      if (error instanceof Exit) throw error;
      passed.leftOut += 1;
      note(`Left out: line ${number}: ${reasonOf(error)}`);
      continue;
    }
    if (key === undefined) {
      passed.skipped += 1;
    } else {
      found += 1;
      yield key;
    }
  }
  if (found === 0) throw nothingUsable(file, passed);
}

function nothingUsable(file: string, { skipped, leftOut }: Passed): Exit {
  return new Exit(
    "done-in-part",
    `Nothing in ${file === "-" ? "stdin" : file} names a resource, among ${formatCount(skipped + leftOut, "line")}. ` +
      "Expected are lines like <sha1> <size>, or <size> <anything>/app_bits_cache/ab/cd/<sha1>; --help tells all.",
  );
}
