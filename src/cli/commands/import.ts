import { Command } from "commander";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { SinglePool } from "../blobstore/single-pool.ts";
import { inputLines, type Line, type LineCounts, noResourceIn, parseLines } from "../input-lines.ts";
import { parseResourceLine } from "../resource-line.ts";
import { type AddOptions, addResources } from "./add-resources.ts";

export const importCommand = new Command("import")
  .summary("add the resources of a list to the cache")
  .description(
    "Adds the resources of a list to the cache. A line is one of\n\n" +
      "  <sha1> <size in bytes>                                  from `list`\n" +
      '  {"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}  from `list --json`\n' +
      "  <size in bytes> <anything>/app_bits_cache/ab/cd/<sha1>  from `find`, see below\n\n" +
      "The last one may also have the size at its end. Each may have the prefix of `bosh ssh`. Blank lines, lines " +
      "that begin with #, and other paths are skipped. Invalid lines are printed with their numbers, the other lines " +
      "are imported, and the exit code is 3. The text is UTF-8 or UTF-16.\n\n" +
      "The list counts as observed when the file was last modified; stdin, when the command started. If files have " +
      "left the pool since then, do not import it. Observations of more than a day ago are refused.",
  )
  .argument("<file>", "the list, or - for stdin")
  .option("--dry-run", "only count the resources, and those that the Worker would refuse")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nExamples:\n" +
      "  resource-pool import resources.txt --url https://api.example.com\n" +
      "  bosh -d cf ssh singleton-blobstore -c \\\n" +
      "    \"sudo find /var/vcap/store/shared -path '*/app_bits_cache/*' \\\n" +
      "    -type f -printf '%s %p\\n'\" \\\n" +
      "    | resource-pool import - --url https://api.example.com",
  )
  .action((file: string, options: AddOptions) =>
    addResources(options, async () => {
      const notAdded = { skipped: 0, invalid: 0 };
      const { lines, ...input } = await inputLines(file);
      return { ...input, keys: parseKeys(lines, file, notAdded), notAdded };
    }),
  );

/** @throws Exit at the end if there was no resource */
async function* parseKeys(
  lines: AsyncIterable<Line>,
  file: string,
  counts: LineCounts,
): AsyncGenerator<ResourceKey> {
  const pool = new SinglePool();
  const parse = (text: string) => parseResourceLine(text, (path) => pool.sha1Of(path));
  let isEmpty = true;
  for await (const key of parseLines(lines, parse, counts)) {
    isEmpty = false;
    yield key;
  }
  if (isEmpty) throw noResourceIn(file, counts);
}
