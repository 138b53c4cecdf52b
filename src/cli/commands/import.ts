import type { Command } from "commander";
import type { ResourceKey } from "../../resource-pool/resource-key.ts";
import { reasonOf } from "../exit.ts";
import { inputLines, type Line } from "../input-lines.ts";
import { finishOnInterrupt } from "../interrupt.ts";
import { note } from "../output.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";
import { parseResourceLine } from "../resource-line.ts";
import { addAndReport, type WriteOptions } from "./report-added.ts";
import { addToSnapshotAndReport } from "./report-snapshot.ts";

interface ImportOptions extends PoolOptions, WriteOptions {
  snapshot?: boolean;
}

export function registerImport(program: Command): void {
  const command = program
    .command("import")
    .summary("add the resources of a list to the cache")
    .description(
      "Adds the resources of a list to the cache. A line is either\n\n" +
        "  <sha1> <size in bytes>\n" +
        '  {"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}\n\n' +
        "Blank lines and lines that begin with # are passed over. A line that is wrong is told with its number;\n" +
        "the others are imported all the same, and the exit code is 3.",
    )
    .argument("<file>", "the list; - is stdin")
    .option("--snapshot", "put them into the snapshot, in a handful of writes, instead of a key for each")
    .option("--dry-run", "say what would be added, and write nothing")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool list --remote | resource-pool import - --local");

  withPoolOptions(command).action(async (file: string, options: ImportOptions) => {
    const signal = finishOnInterrupt();
    const bad = { count: 0 };
    const lines = await inputLines(file);
    await withPool(options, signal, (pool) =>
      (options.snapshot ? addToSnapshotAndReport : addAndReport)(
        pool,
        keysOf(lines, bad),
        options,
        signal,
        () => ({
          counts: { leftOut: bad.count },
          isIncomplete: bad.count > 0,
        }),
      ),
    );
  });
}

async function* keysOf(lines: AsyncIterable<Line>, bad: { count: number }): AsyncGenerator<ResourceKey> {
  for await (const { number, text } of lines) {
    let key: ResourceKey;
    try {
      key = parseResourceLine(text);
    } catch (error) {
      bad.count += 1;
      note(`Left out: line ${number}: ${reasonOf(error)}`);
      continue;
    }
    yield key;
  }
}
