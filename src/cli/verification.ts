import { chunks } from "../chunks.ts";
import { formatCount, formatNumber } from "../format.ts";
import type { CachedResource } from "../operator-api/responses.ts";
import { ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import type { CacheClient } from "./api/cache-client.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { checksumsOf, requestMatches } from "./api/matches.ts";
import { Exit } from "./terminal/exit.ts";
import { withProgress } from "./terminal/progress.ts";

/** Matched resources that are sent again together with rejected ones: they show that matching still works. */
const CONTROL_SAMPLE_SIZE = 10;

/** Verifies resources of the cache with the Cloud Controller, and counts the results. */
export class Verification {
  readonly #cloudController: Endpoint;
  readonly #signal: AbortSignal;
  readonly #controlSample: CachedResource[] = [];
  #rejected: CachedResource[] = [];
  matched = 0;
  removed = 0;
  /** Resources whose size is exactly one of the Worker's limits. */
  skipped = 0;

  /** @param signal stops further requests */
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
   * @throws Exit; the counts stay valid
   */
  async run(
    pages: AsyncIterable<readonly CachedResource[]>,
    limits: readonly unknown[],
    total: number,
  ): Promise<void> {
    const state = () => {
      const done = this.matched + this.rejected + this.skipped;
      const text = `${formatCount(done, "resource")} verified, ${formatNumber(this.rejected)} rejected`;
      return { text, done, total };
    };
    for await (const chunk of withProgress(this.#candidateChunks(pages, limits), state)) {
      if (this.#signal.aborted) return;
      const { matched, rejected } = await this.#verify(chunk);
      this.matched += matched.length;
      this.#rejected.push(...rejected);
      this.#controlSample.push(...matched.slice(0, CONTROL_SAMPLE_SIZE - this.#controlSample.length));
    }
  }

  async *#candidateChunks(pages: AsyncIterable<readonly CachedResource[]>, limits: readonly unknown[]) {
    for await (const page of pages) {
      const candidates = page.filter(({ size_in_bytes: size }) => !limits.includes(size));
      this.skipped += page.length - candidates.length;
      yield* chunks(candidates, ORIGIN_RESOURCES_PER_REQUEST);
    }
  }

  /**
   * Verifies the rejected resources again, each time together with the control sample, and removes from the cache those
   * that are rejected again. If the Cloud Controller had its matching off or its pool missing for a while, it rejected
   * everything during that time.
   *
   * @param startedAt when the command started, by the Worker's clock; ms since the epoch
   * @throws Exit if it no longer matches any of the control sample
   */
  async removeRejected(client: CacheClient, startedAt: number): Promise<void> {
    const total = this.rejected;
    let done = 0;
    const state = () => ({ text: `${formatCount(done, "rejected resource")} verified again`, done, total });
    const rejectedChunks = chunks(this.#rejected, ORIGIN_RESOURCES_PER_REQUEST - CONTROL_SAMPLE_SIZE);
    for await (const chunk of withProgress(rejectedChunks, state)) {
      if (this.#signal.aborted) return;
      // Before the request: a resource that is observed as present during the request stays.
      const observedAt = startedAt + performance.now();
      const { matched } = await this.#verify([...this.#controlSample, ...chunk]);
      const recovered = new Set(matched.filter((resource) => !this.#controlSample.includes(resource)));
      if (recovered.size === matched.length) {
        throw new Exit(
          "failed",
          "The Cloud Controller now rejects files that it matched before. Its matching was switched off, or its pool " +
            "was replaced. No more files are removed.",
        );
      }
      this.matched += recovered.size;
      this.#rejected = this.#rejected.filter((resource) => !recovered.has(resource));
      const removed = chunk
        .filter((resource) => !recovered.has(resource))
        .map(({ checksum }) => checksum.value);
      if (removed.length > 0) this.removed += (await client.report({ observedAt, removed })).changed;
      done += chunk.length;
    }
  }

  async #verify(resources: readonly CachedResource[]) {
    const checksums = checksumsOf(await requestMatches(this.#cloudController, resources, this.#signal));
    const isMatched = ({ checksum }: CachedResource) => checksums.has(checksum.value);
    return { matched: resources.filter(isMatched), rejected: resources.filter((one) => !isMatched(one)) };
  }
}
