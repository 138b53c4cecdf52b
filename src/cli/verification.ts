import { chunks } from "../chunks.ts";
import { formatCount, formatNumber } from "../format.ts";
import type { CachedResource } from "../operator-api/responses.ts";
import { ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import type { CacheClient } from "./api/cache-client.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { checksumsInPool } from "./api/matches.ts";
import type { WorkerClock } from "./api/worker-clock.ts";
import { Exit } from "./terminal/exit.ts";
import { Progress } from "./terminal/progress.ts";

/** So many of what was matched are asked again together with what was denied. */
const CONTROL_SAMPLE = 10;

/** Asks the Cloud Controller question after question whether it holds what the cache does, and counts. */
export class Verification {
  readonly #cloudController: Endpoint;
  readonly #signal: AbortSignal;
  readonly #controlSample: CachedResource[] = [];
  #rejected: CachedResource[] = [];
  matched = 0;
  removed = 0;
  /** Of a size that the Cloud Controller does not match whether it holds the file or not. */
  skipped = 0;

  /** @param signal aborted when no question may be begun any more */
  constructor(cloudController: Endpoint, signal: AbortSignal) {
    this.#cloudController = cloudController;
    this.#signal = signal;
  }

  get rejected(): number {
    return this.#rejected.length;
  }

  /**
   * @param limits sizes that the Cloud Controller does not match
   * @param total resources in `pages`
   * @throws Exit; what has been counted stands
   */
  async run(
    pages: AsyncIterable<readonly CachedResource[]>,
    limits: readonly unknown[],
    total: number,
  ): Promise<void> {
    const progress = new Progress();
    try {
      for await (const page of pages) {
        const asked = page.filter(({ size_in_bytes: size }) => !limits.includes(size));
        this.skipped += page.length - asked.length;
        for (const question of chunks(asked, ORIGIN_RESOURCES_PER_REQUEST)) {
          if (this.#signal.aborted) return;
          const { matched, denied } = await this.#ask(question);
          this.matched += matched.length;
          this.#rejected.push(...denied);
          this.#controlSample.push(...matched.slice(0, CONTROL_SAMPLE - this.#controlSample.length));
          const done = this.matched + this.rejected + this.skipped;
          const text = `${formatCount(done, "resource")} verified, ${formatNumber(this.rejected)} denied`;
          progress.update(() => text, done, total);
        }
      }
    } finally {
      progress.clear();
    }
  }

  /**
   * Removes from the cache what the Cloud Controller denies a second time, in an answer that matches something of what
   * it matched before: one whose own matching was off in the meantime, or that had lost its pool, denies everything.
   *
   * @throws Exit where it matches nothing any more
   */
  async removeRejected(client: CacheClient, clock: WorkerClock): Promise<void> {
    const suspects = this.#rejected;
    const progress = new Progress();
    try {
      let done = 0;
      for (const some of chunks(suspects, ORIGIN_RESOURCES_PER_REQUEST - CONTROL_SAMPLE)) {
        if (this.#signal.aborted) return;
        // Before the question: what somebody observes meanwhile stands against the answer.
        const seen = clock.now();
        const { matched } = await this.#ask([...this.#controlSample, ...some]);
        if (!matched.some((resource) => this.#controlSample.includes(resource))) {
          throw new Exit(
            "failed",
            "The Cloud Controller denies now what it has matched before: its matching has been switched off, or its " +
              "pool is another. Nothing is removed any more.",
          );
        }
        const back = new Set(matched.filter((resource) => !this.#controlSample.includes(resource)));
        this.matched += back.size;
        this.#rejected = this.#rejected.filter((resource) => !back.has(resource));
        const removed = some.filter((resource) => !back.has(resource)).map(({ checksum }) => checksum.value);
        if (removed.length > 0) this.removed += (await client.observe({ observedAt: seen, removed })).changed;
        done += some.length;
        progress.update(() => `${formatCount(done, "resource")} denied again`, done, suspects.length);
      }
    } finally {
      progress.clear();
    }
  }

  async #ask(resources: readonly CachedResource[]) {
    const checksums = new Set(await checksumsInPool(this.#cloudController, resources, this.#signal));
    const isMatched = ({ checksum }: CachedResource) => checksums.has(checksum.value);
    return { matched: resources.filter(isMatched), denied: resources.filter((one) => !isMatched(one)) };
  }
}
