import { formatCount, formatNumber } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { CacheClient, WorkerClock } from "../api/cache-client.ts";
import { endpointOf } from "../api/endpoint.ts";
import { keysOf, type Pool, readPool } from "../blobstore/read-pool.ts";
import type { NotAdded } from "../blobstore/stored-object.ts";
import { ObservationReporter } from "../observation-reporter.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { note, print, printJson } from "../terminal/output.ts";
import { Progress } from "../terminal/progress.ts";
import { type AddOptions, noteRefusals } from "./add-resources.ts";

/** More needs --yes: probably the bucket is wrong. */
const REMOVED_PART_MAX = 0.1;

/**
 * Makes the cache equal to the blobstore, and prints on stdout what changed.
 *
 * @param notAdded complete once the blobstore is read
 * @param open opens the blobstore
 * @throws Exit before anything is sent to the Worker, if the blobstore could not be read completely
 */
export async function syncAndPrune(
  { dryRun = false, json = false, yes = false, ...options }: AddOptions & { yes?: boolean },
  notAdded: Readonly<NotAdded>,
  open: () => Promise<AsyncIterable<ResourceKey>>,
): Promise<void> {
  const signal = finishOnInterrupt();
  const client = new CacheClient(endpointOf(options), signal);
  const resources = await open();
  const { entries: total, time } = await client.status();
  // Before the blobstore is read: resources that are observed from now on stay.
  const observedAt = new WorkerClock(time).now();
  const pool = await readPool(resources, signal);
  if (notAdded.unreadable > 0) {
    const parts = formatCount(notAdded.unreadable, "part");
    throw new Exit(
      "failed",
      `Refused: can't read ${parts} of the blobstore. Nothing was sent to the Worker.`,
    );
  }
  const { entries, missing } = await findMissing(client, pool, total, signal);
  const isRefused = missing.length > REMOVED_PART_MAX * entries && !yes;
  if (dryRun) {
    const counts = { found: pool.size, toRemove: missing.length };
    if (json) await printJson({ ...counts, ...notAdded, refused: isRefused, dryRun: true });
    else
      await print(`${formatCount(pool.size, "resource")} found, ${formatNumber(missing.length)} to remove`);
    if (isRefused) note("This is more than a tenth of the cache. It would be refused without --yes.");
    return;
  }
  if (isRefused) {
    throw new Exit(
      "failed",
      `Refused: ${formatNumber(missing.length)} of the ${formatCount(entries, "resource")} in the cache are not in the ` +
        "blobstore: more than a tenth. Nothing was sent to the Worker. If this is the right blobstore, add --yes to " +
        "remove them.",
    );
  }

  const reporter = new ObservationReporter(client, signal);
  const toAdd = (present: readonly ResourceKey[]) => ({ observedAt, present });
  const present = await reporter.report(iterate(keysOf(pool)), toAdd, () => pool.size);
  const toRemove = (removed: readonly string[]) => ({ observedAt, removed });
  const absent = await reporter.report(iterate(missing), toRemove, () => missing.length);
  const { changed: added, unchanged: alreadyPresent, refused } = present;
  const { changed: removed, unchanged: observedSince } = absent;
  if (json) {
    const counts = { added, alreadyPresent, removed, observedSince, refused };
    await printJson({ ...counts, ...notAdded, dryRun, interrupted: signal.aborted });
  } else {
    await print(
      `${formatCount(added, "resource")} added, ${formatNumber(alreadyPresent)} already present, ` +
        `${formatNumber(removed)} removed, ${formatNumber(observedSince)} kept because observed since, ` +
        `${formatNumber(notAdded.skipped)} skipped`,
    );
    noteRefusals(present);
  }
  reporter.throwIfInterrupted();
  if (refused["too-old"] > 0) throw new Exit("incomplete");
}

/** Counts the resources in the cache, and finds the SHA-1s of those that are not in the pool. */
async function findMissing(client: CacheClient, pool: Pool, total: number, signal: AbortSignal) {
  const progress = new Progress();
  const missing: string[] = [];
  let entries = 0;
  for await (const page of client.resources()) {
    if (signal.aborted) throw new Exit("interrupted", "Interrupted. Nothing was sent to the Worker.");
    entries += page.length;
    for (const { checksum } of page) if (!pool.has(checksum.value)) missing.push(checksum.value);
    progress.update(() => `${formatCount(entries, "resource")} compared`, entries, total);
  }
  progress.clear();
  return { entries, missing };
}

async function* iterate<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
