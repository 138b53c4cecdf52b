import { chunks } from "../chunks.ts";
import { causeOf } from "../observability/log.ts";
import { KV_KEYS_PER_READ } from "../platform-limits.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import type { KeyValueStore } from "./key-value-store.ts";

/** The value of a key of the cache. Anything else is not understood, and counts as not held. */
export const KEY_VALUE = "1";

/** The runtime lets six reads wait for KV at a time, and a read takes about this long. */
const READS_AT_A_TIME = 6;
export const ONE_ROUND_MS = 50;

/** About how long it takes to read so many keys. */
export function keysReadMs(keys: number): number {
  return Math.ceil(Math.ceil(keys / KV_KEYS_PER_READ) / READS_AT_A_TIME) * ONE_ROUND_MS;
}

/** What one request reads of the keys in Workers KV, each at most once. */
export class KeyReads {
  readonly present = new Set<ResourceKey>();
  readonly #asked = new Set<ResourceKey>();
  readonly #store: KeyValueStore;
  readonly #cacheTtl: number;
  readonly #deadline: Deadline;
  readonly #causes = new Set<string>();
  readonly #unread = new Set<ResourceKey>();

  /** @param cacheTtl seconds that KV may answer from its cache, misses too */
  constructor(store: KeyValueStore, cacheTtl: number, deadline: Deadline) {
    this.#store = store;
    this.#cacheTtl = cacheTtl;
    this.#deadline = deadline;
  }

  /** How many keys KV was asked for, each of which it bills. */
  get asked(): number {
    return this.#asked.size;
  }

  get causes(): string[] {
    return [...this.#causes];
  }

  /** How many of `keys` were asked for in vain. */
  unreadOf(keys: Iterable<ResourceKey>): number {
    let count = 0;
    for (const key of keys) if (this.#unread.has(key)) count += 1;
    return count;
  }

  /**
   * Reads those of `keys` that have not been read. All bulk reads start at once; one that fails or is late leaves its
   * 100 keys unread.
   */
  async read(keys: readonly ResourceKey[]): Promise<void> {
    const fresh = keys.filter((key) => !this.#asked.has(key));
    for (const key of fresh) this.#asked.add(key);
    await Promise.all(chunks(fresh, KV_KEYS_PER_READ).map((batch) => this.#readBatch(batch)));
  }

  async #readBatch(keys: readonly ResourceKey[]): Promise<void> {
    try {
      const values = await this.#deadline.race(this.#store.getTexts(keys, this.#cacheTtl));
      for (const key of keys) if (values.get(key) === KEY_VALUE) this.present.add(key);
    } catch (error) {
      for (const key of keys) this.#unread.add(key);
      this.#causes.add(causeOf(error));
    }
  }
}
