import { Readable } from "node:stream";
import { noRefusals, type Refusal, type Refusals } from "../../catalog/observations.ts";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { type ResourceKey, sizeOf } from "../../resources/resource-key.ts";
import { OBSERVATION_MAX_AGE_MS } from "../../time/time-guarantees.ts";
import { CacheClient, requestCacheStatus, startTimeOf } from "../api/cache-client.ts";
import { describeError } from "../api/describe-error.ts";
import { type Endpoint, type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { jsonOf } from "../api/send.ts";
import { ObservationReporter } from "../observation-reporter.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
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
  const endpoint = endpointOf(options);
  const client = new CacheClient(endpoint, signal);
  const addition = await open(client, signal);
  const { keys, notAdded, ageMs = 0, totalOf, toRemove } = addition;
  if (dryRun) return printDryRun(endpoint, addition, json, signal);

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
  if (!json) noteRefusals(refused, "not added");
  reporter.throwIfInterrupted();
  if (!isComplete(notAdded) || refused["too-old"] > 0) {
    throw new Exit(reporter.savedCount > 0 ? "incomplete" : "failed");
  }
}

async function printDryRun(
  endpoint: Endpoint,
  { keys, notAdded, ageMs = 0, toRemove }: Addition,
  json: boolean | undefined,
  signal: AbortSignal,
): Promise<void> {
  const status = await readStatus(endpoint);
  const refusalOf = status ? rulesOf(status, startTimeOf(status) - ageMs) : () => undefined;
  const refused = noRefusals();
  let found = 0;
  for await (const key of untilAborted(keys, signal)) {
    found += 1;
    const refusal = refusalOf(key);
    if (refusal) refused[refusal] += 1;
  }
  const refusedCount = refused["too-old"] + refused["outside-limits"];
  const refusedText = refusedCount > 0 ? `, ${formatNumber(refusedCount)} would be refused` : "";
  const counts: Record<string, number> = { ...notAdded };
  if (toRemove) counts.toRemove = toRemove.length;
  await printResult(
    json,
    { found, refused: status ? refused : null, ...counts, dryRun: true, interrupted: signal.aborted },
    `${formatCount(found, "resource")} found${refusedText}${countsText(counts)}. Nothing was sent to the Worker.`,
  );
  if (!json) noteRefusals(refused, "would not be added");
  if (signal.aborted) throw new Exit("interrupted");
  if (!isComplete(notAdded) || refused["too-old"] > 0) throw new Exit(found > 0 ? "incomplete" : "failed");
}

/** Requests the Worker's status once. If that fails, prints what the result then lacks. */
async function readStatus(endpoint: Endpoint): Promise<CacheStatus | undefined> {
  let reason: string;
  try {
    const response = await requestCacheStatus(endpoint);
    const status = jsonOf(response) as Partial<CacheStatus> | undefined;
    if (response.status === 200 && status?.time && status.configuration) return status as CacheStatus;
    reason = describeError(response);
  } catch (error) {
    reason = reasonOf(error);
  }
  note(`Can't read the Worker's status. So it is unknown which resources it would refuse.\n${reason}`);
  return undefined;
}

/** The Worker's rules. @param observedAt by the Worker's clock; ms since the epoch */
function rulesOf(
  { time, forgotten_at: forgottenAt, configuration }: CacheStatus,
  observedAt: number,
): (key: ResourceKey) => Refusal | undefined {
  const isTooOld =
    observedAt <= Date.parse(time) - OBSERVATION_MAX_AGE_MS ||
    (typeof forgottenAt === "string" && observedAt <= Date.parse(forgottenAt));
  const [minimum, maximum] = [Number(configuration.MINIMUM_SIZE), Number(configuration.MAXIMUM_SIZE)];
  return (key) => {
    if (isTooOld) return "too-old";
    return sizeOf(key) < minimum || sizeOf(key) > maximum ? "outside-limits" : undefined;
  };
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

/** @param outcome what happens to the refused ones */
function noteRefusals(refused: Refusals, outcome: "not added" | "would not be added"): void {
  if (refused["outside-limits"] > 0) {
    const resources = formatCount(refused["outside-limits"], "resource");
    note(
      `${resources} ${outcome}: the size is outside MINIMUM_SIZE and MAXIMUM_SIZE. The Worker never matches them.`,
    );
  }
  if (refused["too-old"] > 0) {
    const resources = formatCount(refused["too-old"], "resource");
    note(
      `${resources} ${outcome}: observed more than a day ago, or before the last \`forget\`. The pool may have lost them ` +
        "since then. List the pool again.",
    );
  }
}
