import { Command } from "commander";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { SinglePool } from "../blobstore/single-pool.ts";
import { inputLines, type Line, type LineCounts, noResourceIn, parseLines } from "../input-lines.ts";
import { parseResourceLine } from "../resource-line.ts";
import { type AddOptions, addResources } from "./add-resources.ts";

export const importCommand = new Command("import")
  .summary("add the resources of a list to the cache")
  .description(
    "Adds the resources of a list to the cache. A line is one of:\n" +
      "  <sha1> <size in bytes>                                  from `list`\n" +
      '  {"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}  from `list --json`\n' +
      "  <size in bytes> <anything>/app_bits_cache/ab/cd/<sha1>  from `find`\n\n" +
      "Other paths, and lines that begin with #, are skipped. Invalid lines are printed, the others are added, and the exit " +
      "code is 3. The resources count as observed when the file was last modified, which must be less than a day ago.",
  )
  .argument("<file>", "the list, or - for stdin")
  .option("--dry-run", "change nothing: only count the resources")
  .option("--json", "print the result as JSON")
  .addHelpText("after", "\nExample:\n  resource-pool import resources.txt --url https://matches.example.net")
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
