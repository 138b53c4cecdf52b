import { noRefusals, OBSERVATIONS_MAX, type Refusal } from "../catalog/observations.ts";
import { formatCount, formatNumber } from "../format.ts";
import type { ObservationsResult } from "../operator-api/responses.ts";
import type { CacheClient, PoolObservations } from "./api/cache-client.ts";
import { SecondPoolError } from "./blobstore/single-pool.ts";
import { Exit, reasonOf } from "./terminal/exit.ts";
import { untilAborted } from "./terminal/interrupt.ts";
import { withProgress } from "./terminal/progress.ts";

/** Reports observations in batches of 50,000. Reads the next batch while it sends one. */
export class ObservationReporter {
  readonly #client: CacheClient;
  readonly #signal: AbortSignal;
  /** Resources of all batches that the Worker has accepted. */
  savedCount = 0;

  /** @param signal when it is aborted, the running batch is finished and no other is sent */
  constructor(client: CacheClient, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  /**
   * @param toObservations makes the observations of a batch
   * @param totalOf estimates the number of items after `read` of them
   * @returns totals of all batches
   * @throws Exit that also says how many resources were saved
   */
  async report<T>(
    items: AsyncIterable<T>,
    toObservations: (batch: readonly T[]) => PoolObservations,
    totalOf: (read: number) => number | undefined = () => undefined,
  ): Promise<ObservationsResult> {
    const totals: ObservationsResult = { changed: 0, unchanged: 0, refused: noRefusals() };
    let batch: T[] = [];
    let sending: Promise<void> = Promise.resolve();
    let read = 0;
    const state = () => ({
      text: `${formatCount(read, "resource")} read, ${formatNumber(this.savedCount)} saved`,
      done: read,
      total: totalOf(read),
    });
    try {
      for await (const item of withProgress(untilAborted(items, this.#signal), state)) {
        read += 1;
        batch.push(item);
        if (batch.length < OBSERVATIONS_MAX) continue;
        await sending;
        sending = this.#send(toObservations(batch), totals);
        // It may reject before it is awaited.
        sending.catch(() => {});
        batch = [];
      }
      await sending;
      if (batch.length > 0 && !this.#signal.aborted) await this.#send(toObservations(batch), totals);
    } catch (error) {
      // The running batch counts even if reading has failed.
      await sending.catch(() => {});
      if (!this.#signal.aborted) throw this.#stoppedBy(error);
    }
    return totals;
  }

  /** @throws Exit if Ctrl-C has stopped the reporter */
  throwIfInterrupted(): void {
    if (!this.#signal.aborted) return;
    const saved = this.savedCount > 0 ? "The batches above were saved." : "Nothing was saved.";
    throw new Exit("interrupted", `${saved} Run the command again to continue.`);
  }

  async #send(observations: PoolObservations, totals: ObservationsResult): Promise<void> {
    const { changed, unchanged, refused } = await this.#client.report(observations);
    totals.changed += changed;
    totals.unchanged += unchanged;
    this.savedCount += changed + unchanged;
    for (const reason of Object.keys(refused) as Refusal[]) {
      totals.refused[reason] += refused[reason];
      this.savedCount += refused[reason];
    }
  }

  #stoppedBy(error: unknown): Exit {
    const reason = error instanceof Exit ? error.reason : "failed";
    if (this.savedCount === 0) return new Exit(reason, reasonOf(error));
    const advice =
      error instanceof SecondPoolError
        ? "If they are of the wrong pool, run `sync --prune` with the right one to remove them."
        : "Run the command again to continue.";
    const saved = `Saved ${formatCount(this.savedCount, "resource")} before that. ${advice}`;
    return new Exit(reason, `${reasonOf(error)}\n${saved}`);
  }
}
