import { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import { isSha1Hex } from "../../resources/sha1.ts";
import { CacheClient, startTimeOf } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { inputLines, type Line, type LineCounts, noResourceIn, parseLines } from "../input-lines.ts";
import { ObservationReporter } from "../observation-reporter.ts";
import { parseSha1Line } from "../resource-line.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { printResult } from "../terminal/output.ts";

interface RemoveOptions extends EndpointOptions {
  from?: string;
  json?: boolean;
}

export const removeCommand = new Command("remove")
  .summary("remove resources from the cache")
  .description(
    "Removes resources from the cache, by SHA-1. The Worker matches them for at most three more minutes. The removal is " +
      "recorded even if a resource is not in the cache, so that no earlier observation adds it again.",
  )
  .argument("[sha1...]", "40 hex digits each")
  .option("--from <file>", "list with a SHA-1 per line, or as for `import`; - is stdin")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nExample:\n  resource-pool remove --from deleted.txt --url https://matches.example.net",
  )
  .action(async (sha1s: string[], { from, json, ...options }: RemoveOptions) => {
    for (const sha1 of sha1s) {
      if (!isSha1Hex(sha1)) throw new Exit("usage", `Not a SHA-1 of 40 hex digits: ${sha1}`);
    }
    if (sha1s.length === 0 && from === undefined) {
      throw new Exit("usage", "There is nothing to remove. Name SHA-1s, or use --from <file>.");
    }
    const endpoint = endpointOf(options);
    const signal = finishOnInterrupt();
    const counts = { skipped: 0, invalid: 0 };
    const input = from === undefined ? undefined : await inputLines(from);
    const client = new CacheClient(endpoint, signal);
    const reporter = new ObservationReporter(client, signal);
    const observedAt = startTimeOf(await client.status());
    const { changed: removed, unchanged: notPresent } = await reporter.report(
      allSha1s(sha1s, input?.lines, counts),
      (removed) => ({ observedAt, removed }),
      input?.totalOf,
    );
    const isListEmpty = from !== undefined && !signal.aborted && removed + notPresent === sha1s.length;
    const noResource = isListEmpty ? noResourceIn(from, counts) : undefined;
    if (noResource && sha1s.length === 0) throw noResource;
    const { skipped, invalid } = counts;
    await printResult(
      json,
      { removed, notPresent, ...counts, interrupted: signal.aborted },
      `${formatCount(removed, "resource")} removed, ${formatNumber(notPresent)} not present, ` +
        `${skipped > 0 ? `${formatNumber(skipped)} skipped, ` : ""}${formatNumber(invalid)} invalid`,
    );
    reporter.throwIfInterrupted();
    if (noResource) throw noResource;
    if (invalid > 0) throw new Exit("incomplete");
  });

async function* allSha1s(
  sha1s: readonly string[],
  lines: AsyncIterable<Line> | undefined,
  counts: LineCounts,
): AsyncGenerator<string> {
  yield* sha1s;
  if (lines) yield* parseLines(lines, parseSha1Line, counts);
}
