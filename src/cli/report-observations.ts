import { noRefusals, OBSERVATIONS_MAX, type Observed, type Refusal } from "../catalog/observations.ts";
import { formatCount, formatNumber } from "../format.ts";
import type { CacheClient, PoolObservations } from "./api/cache-client.ts";
import { untilAborted } from "./terminal/interrupt.ts";
import { Progress } from "./terminal/progress.ts";

export const nothingObserved = (): Observed => ({ changed: 0, unchanged: 0, refused: noRefusals() });

/**
 * Tells the cache of `items`, 50,000 at a time as they come; while a batch is on its way, the next is read.
 *
 * @param observationsOf what was observed, of the items of a batch
 * @param outcome counted up with each batch that has landed, and so right even if this throws
 * @param signal when aborted, the running batch is finished and no other begun
 * @param totalOf how many there are, where that is known or can be guessed when so many have been read
 */
export async function reportAll<T>(
  client: CacheClient,
  items: AsyncIterable<T>,
  observationsOf: (batch: readonly T[]) => PoolObservations,
  outcome: Observed,
  signal: AbortSignal,
  totalOf: (read: number) => number | undefined = () => undefined,
): Promise<void> {
  const progress = new Progress();
  const land = async (batch: readonly T[]) => addUp(outcome, await client.observe(observationsOf(batch)));
  let batch: T[] = [];
  let landing: Promise<void> = Promise.resolve();

  let read = 0;
  try {
    for await (const item of untilAborted(items, signal)) {
      read += 1;
      batch.push(item);
      const text = () =>
        `${formatCount(read, "resource")} read, ${formatNumber(reportedCount(outcome))} told`;
      progress.update(text, read, totalOf(read));
      if (batch.length < OBSERVATIONS_MAX) continue;
      await landing;
      landing = land(batch);
      // It may fail before it is awaited.
      landing.catch(() => {});
      batch = [];
    }
    await landing;
    if (batch.length > 0 && !signal.aborted) await land(batch);
  } catch (error) {
    // What is on its way is counted, whatever else has failed.
    await landing.catch(() => {});
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
  }
}

/** Resources that the cache has been told of. */
export function reportedCount({ changed, unchanged, refused }: Observed): number {
  return changed + unchanged + Object.values(refused).reduce((sum, count) => sum + count, 0);
}

function addUp(total: Observed, { changed, unchanged, refused }: Observed): void {
  total.changed += changed;
  total.unchanged += unchanged;
  for (const reason of Object.keys(refused) as Refusal[]) total.refused[reason] += refused[reason];
}
