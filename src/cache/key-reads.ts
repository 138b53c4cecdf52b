import { chunks } from "../chunks.ts";
import { causeOf } from "../observability/log.ts";
import { KV_KEYS_PER_READ } from "../platform-limits.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import type { KeyValueStore } from "./key-value-store.ts";

/** The value of a key. A key with any other value does not match. */
export const KEY_VALUE = "1";

/** The runtime runs six reads of KV in parallel. */
const PARALLEL_READS = 6;
/** An estimate of the time of one read. */
export const ONE_ROUND_MS = 50;

/** An estimate of the time to read this many keys. */
export function keysReadMs(keys: number): number {
  return Math.ceil(Math.ceil(keys / KV_KEYS_PER_READ) / PARALLEL_READS) * ONE_ROUND_MS;
}

/** The key reads of one request. Each key is read at most once. */
export class KeyReads {
  /** The keys that were found. */
  readonly present = new Set<ResourceKey>();
  readonly #requested = new Set<ResourceKey>();
  readonly #store: KeyValueStore;
  readonly #cacheTtl: number;
  readonly #deadline: Deadline;
  readonly #causes = new Set<string>();
  readonly #unread = new Set<ResourceKey>();

  /** @param cacheTtl seconds that KV may serve a key from its cache, misses too */
  constructor(store: KeyValueStore, cacheTtl: number, deadline: Deadline) {
    this.#store = store;
    this.#cacheTtl = cacheTtl;
    this.#deadline = deadline;
  }

  /** How many keys were read. KV bills each. */
  get requested(): number {
    return this.#requested.size;
  }

  /** Why reads failed. */
  get causes(): string[] {
    return [...this.#causes];
  }

  /** How many of `keys` could not be read. */
  unreadOf(keys: Iterable<ResourceKey>): number {
    let count = 0;
    for (const key of keys) if (this.#unread.has(key)) count += 1;
    return count;
  }

  /** Reads the keys that have not been read, 100 at a time, in parallel. Never throws. */
  async read(keys: readonly ResourceKey[]): Promise<void> {
    const unrequested = keys.filter((key) => !this.#requested.has(key));
    for (const key of unrequested) this.#requested.add(key);
    await Promise.all(chunks(unrequested, KV_KEYS_PER_READ).map((batch) => this.#readBatch(batch)));
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
