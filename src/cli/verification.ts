import { chunks } from "../chunks.ts";
import type { CachedResource } from "../operator-api/answers.ts";
import type { CacheClient } from "./api/cache-client.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { checksumsInPool } from "./api/matches.ts";
import { Moment } from "./moment.ts";
import { counted, number } from "./output.ts";
import { Progress } from "./progress.ts";

/** The Cloud Controller looks them up one after the other, for about 12 ms each. */
const RESOURCES_PER_QUESTION = 250;

/** Asks the Cloud Controller question after question whether it holds what the cache does, and counts. */
export class Verification {
  readonly #client: CacheClient;
  readonly #cloudController: Endpoint;
  readonly #removes: boolean;
  readonly #signal: AbortSignal;
  /** What the Cloud Controller has denied while it has not matched anything. */
  #doubtful: { seen: Moment; removed: string[] }[] = [];
  matched = 0;
  denied = 0;
  removed = 0;
  /** Of a size that the Cloud Controller does not match whether it holds the file or not. */
  passedOver = 0;

  /** @param signal aborted when no question may be begun any more */
  constructor(client: CacheClient, cloudController: Endpoint, removes: boolean, signal: AbortSignal) {
    this.#client = client;
    this.#cloudController = cloudController;
    this.#removes = removes;
    this.#signal = signal;
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
        this.passedOver += page.length - asked.length;
        for (const question of chunks(asked, RESOURCES_PER_QUESTION)) {
          if (this.#signal.aborted) return;
          await this.#ask(question);
          const done = this.matched + this.denied + this.passedOver;
          const text = `${counted(done, "resource")} verified, ${number(this.denied)} denied`;
          progress.update(() => text, done, total);
        }
      }
    } finally {
      progress.clear();
    }
  }

  async #ask(resources: readonly CachedResource[]): Promise<void> {
    // Before the question: what somebody observes meanwhile stands against the answer.
    const seen = new Moment();
    const matched = new Set(await checksumsInPool(this.#cloudController, resources, this.#signal));
    const removed = resources.map(({ checksum }) => checksum.value).filter((sha1) => !matched.has(sha1));
    this.matched += resources.length - removed.length;
    this.denied += removed.length;
    if (!this.#removes) return;
    if (removed.length > 0) this.#doubtful.push({ seen, removed });
    // One whose own matching is off denies everything, and must not empty the cache.
    if (this.matched === 0) return;
    for (let denial = this.#doubtful.shift(); denial; denial = this.#doubtful.shift()) {
      this.removed += (await this.#client.observe(denial)).changed;
    }
  }
}
