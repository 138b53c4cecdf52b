import { formatCount, formatNumber } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { CacheClient } from "../api/cache-client.ts";
import { endpointOf } from "../api/endpoint.ts";
import { WorkerClock } from "../api/worker-clock.ts";
import { keysOf, type Pool, readPool } from "../blobstore/read-pool.ts";
import type { Passed } from "../blobstore/stored-object.ts";
import { nothingObserved, reportAll, reportedCount } from "../report-observations.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { note, print, printJson } from "../terminal/output.ts";
import { Progress } from "../terminal/progress.ts";
import { type AddOptions, interruptedWithin, noteRefusals, stoppedBy } from "./add-resources.ts";

/** More of the cache than this goes only where that is confirmed: a wrong bucket is likelier. */
const GONE_PART_MAX = 0.1;

/**
 * Makes the cache hold what the blobstore does, and tells on stdout what changed.
 *
 * @param passed what of the blobstore was not taken, once it is read
 * @param open the blobstore's resources
 * @throws Exit before the Worker is told anything, if what was read can't be relied on
 */
export async function syncAndPrune(
  { dryRun = false, json = false, yes = false, ...options }: AddOptions & { yes?: boolean },
  passed: Readonly<Passed>,
  open: () => Promise<AsyncIterable<ResourceKey>>,
): Promise<void> {
  const signal = finishOnInterrupt();
  const client = new CacheClient(endpointOf(options), signal);
  const resources = await open();
  const { entries: total, time } = await client.status();
  // Before the listing: whatever was observed since stands against it.
  const observedAt = new WorkerClock(time).now();
  const pool = await readPool(resources, signal);
  if (passed.leftOut > 0) {
    const reason = `${formatCount(passed.leftOut, "part")} of the blobstore could not be read`;
    throw new Exit("failed", `Refused: ${reason}. The Worker was told nothing.`);
  }
  const { entries, gone } = await compare(client, pool, total, signal);
  const isTooMany = gone.length > GONE_PART_MAX * entries && !yes;
  if (dryRun) {
    const counts = { found: pool.size, toRemove: gone.length };
    if (json) await printJson({ ...counts, ...passed, refused: isTooMany, dryRun: true });
    else
      await print(`${formatCount(pool.size, "resource")} found, ${formatNumber(gone.length)} to be removed`);
    if (isTooMany) note("That is more than a tenth of the cache: without --yes it would be refused.");
    return;
  }
  if (isTooMany) {
    throw new Exit(
      "failed",
      `Refused: ${formatNumber(gone.length)} of the ${formatCount(entries, "resource")} in the cache are not in the blobstore, ` +
        "more than a tenth. Is it the right one? Then --yes removes them. The Worker was told nothing.",
    );
  }

  const [present, removed] = [nothingObserved(), nothingObserved()];
  try {
    const toAdd = (present: readonly ResourceKey[]) => ({ observedAt, present });
    await reportAll(client, each(keysOf(pool)), toAdd, present, signal, () => pool.size);
    const toRemove = (removed: readonly string[]) => ({ observedAt, removed });
    await reportAll(client, each(gone), toRemove, removed, signal, () => gone.length);
  } catch (error) {
    throw stoppedBy(error, { ...present, unchanged: present.unchanged + reportedCount(removed) });
  }
  const { changed: added, unchanged: alreadyThere, refused } = present;
  // What somebody observed meanwhile is not removed.
  const { changed: pruned, unchanged: kept } = removed;
  if (json) {
    const counts = { added, alreadyThere, removed: pruned, kept, refused };
    await printJson({ ...counts, ...passed, dryRun, interrupted: signal.aborted });
  } else {
    await print(
      `${formatCount(added, "resource")} added, ${formatNumber(alreadyThere)} already there, ${formatNumber(pruned)} removed, ` +
        `${formatNumber(kept)} kept as observed since, ${formatNumber(passed.skipped)} skipped`,
    );
    noteRefusals(present);
  }
  if (signal.aborted) throw interruptedWithin();
  if (refused["too-old"] > 0) throw new Exit("done-in-part");
}

/** How many resources the cache holds, and the SHA-1s of those that the pool does not. */
async function compare(client: CacheClient, pool: Pool, total: number, signal: AbortSignal) {
  const progress = new Progress();
  const gone: string[] = [];
  let entries = 0;
  for await (const page of client.resources()) {
    if (signal.aborted) throw new Exit("interrupted", "Interrupted: the Worker was told nothing.");
    entries += page.length;
    for (const { checksum } of page) if (!pool.has(checksum.value)) gone.push(checksum.value);
    progress.update(() => `${formatCount(entries, "resource")} compared`, entries, total);
  }
  progress.clear();
  return { entries, gone };
}

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
