import type { Observed } from "../../catalog/observations.ts";
import { formatCount, formatNumber } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { TwoPools } from "../blobstore/one-pool.ts";
import { nothingObserved, reportAll, reportedCount } from "../report-observations.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { finishOnInterrupt, untilAborted } from "../terminal/interrupt.ts";
import { note, print, printJson } from "../terminal/output.ts";

/** Options of every subcommand that adds. */
export interface AddOptions extends EndpointOptions {
  dryRun?: boolean;
  json?: boolean;
}

/** What is to be added. */
export interface Addition {
  /** Nothing is read before the first is asked for. */
  keys: AsyncIterable<ResourceKey>;
  /** How long before the command began they were looked at, in ms; 0 if not given. */
  age?: number;
  /** How many resources there are, where that is known or can be guessed when so many have been read. */
  totalOf?(read: number): number | undefined;
  /** What of the input was not taken, by name, once it has come to its end. */
  leftOut(): { counts: Record<string, number>; isIncomplete: boolean };
}

/**
 * Adds resources to the cache and tells on stdout what became of them.
 *
 * @param open what is to be added; asked when the options are known to be right
 * @throws Exit if something was left out, or on Ctrl-C
 */
export async function addResources(
  { dryRun = false, json = false, ...options }: AddOptions,
  open: () => Promise<Addition>,
): Promise<void> {
  const endpoint = endpointOf(options);
  const signal = finishOnInterrupt();
  const addition = await open();
  if (dryRun) return reportDryRun(addition, json, signal);

  const client = new CacheClient(endpoint, signal);
  const { begun } = await client.clock();
  const observedAt = begun - (addition.age ?? 0);
  const outcome = nothingObserved();
  try {
    await reportAll(
      client,
      addition.keys,
      (present) => ({ observedAt, present }),
      outcome,
      signal,
      addition.totalOf,
    );
  } catch (error) {
    throw stoppedBy(error, outcome);
  }

  const { counts, isIncomplete } = addition.leftOut();
  const interrupted = signal.aborted;
  const { changed: added, unchanged: alreadyThere, refused } = outcome;
  if (json) {
    await printJson({ added, alreadyThere, refused, ...counts, dryRun, interrupted });
  } else {
    await print(
      `${formatCount(added, "resource")} added, ${formatNumber(alreadyThere)} already there${inWords(counts)}`,
    );
    noteRefusals(outcome);
  }
  if (interrupted) throw interruptedWithin();
  if (isIncomplete || refused["too-old"] > 0) {
    throw new Exit(reportedCount(outcome) > 0 ? "done-in-part" : "failed");
  }
}

/** A Ctrl-C has ended a run whose batches have been told. */
export function interruptedWithin(): Exit {
  return new Exit(
    "interrupted",
    "Interrupted: what is told above has landed; run the same command again to go on.",
  );
}

/** What ended a run before its end, with how far it has come. */
export function stoppedBy(error: unknown, outcome: Observed): Exit {
  const reason = error instanceof Exit ? error.reason : "failed";
  const count = reportedCount(outcome);
  if (count === 0) return new Exit(reason, reasonOf(error));
  const advice =
    error instanceof TwoPools
      ? "if they are of the wrong one, `sync --prune` of the right one takes them out."
      : "run the same command again to go on.";
  const before = `${formatCount(count, "resource")} had landed before: ${advice}`;
  return new Exit(reason, `${reasonOf(error)}\n${before}`);
}

async function reportDryRun({ keys, leftOut }: Addition, json: boolean, signal: AbortSignal): Promise<void> {
  let found = 0;
  for await (const _ of untilAborted(keys, signal)) found += 1;
  const { counts, isIncomplete } = leftOut();
  if (json) await printJson({ found, ...counts, dryRun: true, interrupted: signal.aborted });
  else await print(`${formatCount(found, "resource")} found, none of them told${inWords(counts)}`);
  if (signal.aborted) throw new Exit("interrupted");
  if (isIncomplete) throw new Exit(found > 0 ? "done-in-part" : "failed");
}

/** `{ leftOut: 3 }`: `, 3 left out`. */
function inWords(counts: Record<string, number>): string {
  const words = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return Object.entries(counts)
    .map(([name, count]) => `, ${formatNumber(count)} ${words(name)}`)
    .join("");
}

export function noteRefusals({ refused }: Observed): void {
  if (refused["outside-limits"] > 0) {
    const files = formatCount(refused["outside-limits"], "resource");
    note(`${files} not added: outside the Worker's MINIMUM_SIZE and MAXIMUM_SIZE, and so never matched.`);
  }
  if (refused["too-old"] > 0) {
    const files = formatCount(refused["too-old"], "resource");
    note(`${files} not added: seen more than a day ago, or before everything was forgotten.`);
  }
}
