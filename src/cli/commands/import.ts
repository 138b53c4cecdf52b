import type { Command } from "commander";
import type { ResourceKey } from "../../resource-key.ts";
import { withEndpointOptions } from "../api/endpoint.ts";
import { reasonOf } from "../exit.ts";
import { inputLines, type Line } from "../input-lines.ts";
import { Moment } from "../moment.ts";
import { note } from "../output.ts";
import { parseResourceLine } from "../resource-line.ts";
import { type AddOptions, addAndReport } from "./add-and-report.ts";

export function registerImport(program: Command): void {
  const command = program
    .command("import")
    .summary("add the resources of a list to the cache")
    .description(
      "Adds the resources of a list to the cache. A line is either\n\n" +
        "  <sha1> <size in bytes>\n" +
        '  {"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}\n\n' +
        "Blank lines and lines that begin with # are passed over. A line that is wrong is told with its number;\n" +
        "the others are imported all the same, and the exit code is 3.\n\n" +
        "The list counts as seen when the command begins: import no list of which something may have left the pool.",
    )
    .argument("<file>", "the list; - is stdin")
    .option("--dry-run", "say how many there are, and tell the Worker nothing")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool import resources.txt --url https://api.example.com");

  withEndpointOptions(command).action((file: string, options: AddOptions) =>
    addAndReport(options, async () => {
      const seen = new Moment();
      const bad = { count: 0 };
      return {
        keys: keysOf(await inputLines(file), bad),
        seen,
        leftOut: () => ({ counts: { leftOut: bad.count }, isIncomplete: bad.count > 0 }),
      };
    }),
  );
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
