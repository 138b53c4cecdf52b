import { Readable } from "node:stream";
import type { Refusals } from "../../catalog/observations.ts";
import { formatCount, formatNumber } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { CacheClient, startTimeOf } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { ObservationReporter } from "../observation-reporter.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt, untilAborted } from "../terminal/interrupt.ts";
import { note, printResult } from "../terminal/output.ts";

/** Options of `add`, `import` and `sync`. */
export interface AddOptions extends EndpointOptions {
  dryRun?: boolean;
  json?: boolean;
}

export interface Addition {
  /** Reads the input lazily. */
  keys: AsyncIterable<ResourceKey>;
  /** Parts of the input that are not resources of a pool, or can't be parsed or read. Complete once `keys` are read. */
  notAdded: Readonly<{ skipped?: number; invalid?: number; unreadable?: number }>;
  /** How long before the start of the command they were observed; 0 by default. */
  ageMs?: number;
  /** Estimates the number of resources after `read` of them. */
  totalOf?(read: number): number | undefined;
  /** Only with `--prune`: SHA-1s to remove. */
  toRemove?: readonly string[];
}

/**
 * Adds resources to the cache and prints the result on stdout.
 *
 * @param open opens the input, after the options were checked
 * @throws Exit if the input was not added completely, or on Ctrl-C
 */
export async function addResources(
  { dryRun, json, ...options }: AddOptions,
  open: (client: CacheClient, signal: AbortSignal) => Promise<Addition>,
): Promise<void> {
  const signal = finishOnInterrupt();
  const client = new CacheClient(endpointOf(options), signal);
  const addition = await open(client, signal);
  const { keys, notAdded, ageMs = 0, totalOf, toRemove } = addition;
  if (dryRun) return printDryRun(addition, json, signal);

  const reporter = new ObservationReporter(client, signal);
  const observedAt = startTimeOf(await client.status()) - ageMs;
  const totals = await reporter.report(keys, (present) => ({ observedAt, present }), totalOf);
  const { changed: added, unchanged: alreadyPresent, refused } = totals;
  const counts: Record<string, number> = { ...notAdded };
  if (toRemove) {
    const sha1s: AsyncIterable<string> = Readable.from(toRemove);
    const toObservations = (removed: readonly string[]) => ({ observedAt, removed });
    const removals = await reporter.report(sha1s, toObservations, () => toRemove.length);
    counts.removed = removals.changed;
    counts.addedSince = removals.unchanged;
  }

  await printResult(
    json,
    { added, alreadyPresent, refused, ...counts, dryRun: false, interrupted: signal.aborted },
    `${formatCount(added, "resource")} added, ${formatNumber(alreadyPresent)} already present${countsText(counts)}`,
  );
  if (!json) noteRefusals(refused);
  reporter.throwIfInterrupted();
  if (!isComplete(notAdded) || refused["too-old"] > 0) {
    throw new Exit(reporter.savedCount > 0 ? "incomplete" : "failed");
  }
}

async function printDryRun(
  addition: Addition,
  json: boolean | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { keys, notAdded, toRemove } = addition;
  let found = 0;
  for await (const _ of untilAborted(keys, signal)) found += 1;
  const counts: Record<string, number> = { ...notAdded };
  if (toRemove) counts.toRemove = toRemove.length;
  await printResult(
    json,
    { found, ...counts, dryRun: true, interrupted: signal.aborted },
    `${formatCount(found, "resource")} found${countsText(counts)}. Nothing was sent to the Worker.`,
  );
  if (signal.aborted) throw new Exit("interrupted");
  if (!isComplete(notAdded)) throw new Exit(found > 0 ? "incomplete" : "failed");
}

function isComplete({ invalid = 0, unreadable = 0 }: Addition["notAdded"]): boolean {
  return invalid + unreadable === 0;
}

/** `, 3 skipped, 1 added since` of `{ skipped: 3, addedSince: 1 }`. */
function countsText(counts: Readonly<Record<string, number>>): string {
  const words = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return Object.entries(counts)
    .map(([name, count]) => `, ${formatNumber(count)} ${words(name)}`)
    .join("");
}

function noteRefusals(refused: Refusals): void {
  if (refused["outside-limits"] > 0) {
    const resources = formatCount(refused["outside-limits"], "resource");
    note(
      `${resources} not added: the size is outside MINIMUM_SIZE and MAXIMUM_SIZE. The Worker never matches them.`,
    );
  }
  if (refused["too-old"] > 0) {
    const resources = formatCount(refused["too-old"], "resource");
    note(`${resources} not added: observed more than a day ago, or before the last \`forget\`.`);
  }
}
