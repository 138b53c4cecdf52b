import type { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import { isSha1Hex } from "../../resources/sha1.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { inputLines } from "../input-lines.ts";
import { nothingObserved, reportAll } from "../report-observations.ts";
import { parseSha1Line } from "../resource-line.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { note, print, printJson } from "../terminal/output.ts";
import { interruptedWithin, stoppedBy } from "./add-resources.ts";

interface RemoveOptions extends EndpointOptions {
  from?: string;
  json?: boolean;
}

export function registerRemove(program: Command): void {
  const command = program
    .command("remove")
    .summary("take resources out of the cache")
    .description(
      "Takes resources out of the cache, by SHA-1. The Worker claims none of them any more within three minutes, " +
        "usually within one. One that the cache does not hold is remembered all the same, so that nothing that was " +
        "observedAt before brings it back.",
    )
    .argument("[sha1...]", "40 hex digits each")
    .option("--from <file>", "a list with a SHA-1 a line, or lines as `import` takes them; - is stdin")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  resource-pool remove da39a3ee5e6b4b0d3255bfef95601890afd80709 \\\n" +
        "    --url https://api.example.com",
    );

  withEndpointOptions(command).action(async (sha1s: string[], { from, json, ...options }: RemoveOptions) => {
    for (const sha1 of sha1s) {
      if (!isSha1Hex(sha1)) throw new Exit("wrong-usage", `Not a SHA-1 of 40 hex digits: ${sha1}`);
    }
    if (sha1s.length === 0 && from === undefined) {
      throw new Exit("wrong-usage", "Nothing to remove: give SHA-1s, or --from <file>.");
    }
    const endpoint = endpointOf(options);
    const signal = finishOnInterrupt();
    const bad = { count: 0 };
    const input = await checksums(sha1s, from, bad);
    const client = new CacheClient(endpoint, signal);
    const { begun: observedAt } = await client.clock();
    const outcome = nothingObserved();
    try {
      const toSight = (removed: readonly string[]) => ({ observedAt, removed });
      await reportAll(client, input, toSight, outcome, signal);
    } catch (error) {
      throw stoppedBy(error, outcome);
    }
    const { changed: removed, unchanged: notPresent } = outcome;
    const [leftOut, interrupted] = [bad.count, signal.aborted];
    if (json) await printJson({ removed, notPresent, leftOut, interrupted });
    else {
      await print(
        `${formatCount(removed, "resource")} removed, ${formatNumber(notPresent)} not present, ${formatNumber(leftOut)} left out`,
      );
    }
    if (interrupted) throw interruptedWithin();
    if (leftOut > 0) throw new Exit(removed + notPresent > 0 ? "done-in-part" : "failed");
  });
}

async function checksums(
  sha1s: readonly string[],
  from: string | undefined,
  bad: { count: number },
): Promise<AsyncGenerator<string>> {
  const input = from === undefined ? undefined : await inputLines(from);
  return (async function* () {
    yield* sha1s;
    for await (const { number, text } of input?.lines ?? []) {
      const sha1 = parseSha1Line(text);
      if (sha1 !== undefined) {
        yield sha1;
      } else {
        bad.count += 1;
        note(`Left out: line ${number}: it does not begin with a SHA-1 of 40 hex digits`);
      }
    }
  })();
}
