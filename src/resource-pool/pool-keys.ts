import { chunks } from "../chunks.ts";
import { KV_CACHE_TTL_MIN_SECONDS, KV_KEYS_PER_READ } from "../platform-limits.ts";
import { HELD, type ResourceKey } from "./resource-key.ts";
import { TOMBSTONE_TTL_SECONDS, tombstoneKey } from "./tombstone.ts";

/** The keys of one foundation's pool in Workers KV, for those who change them. */
export class PoolKeys {
  readonly #cache: KVNamespace;
  readonly #prefix: string;

  constructor(cache: KVNamespace, keyPrefix: string) {
    this.#cache = cache;
    this.#prefix = keyPrefix;
  }

  /** From now on the pool holds the resource. One operation. */
  async add(key: ResourceKey): Promise<void> {
    await this.#cache.put(this.#prefix + key, HELD);
  }

  /**
   * From now on the pool holds nothing with this checksum, of whatever size.
   *
   * @param sha1 lower-case hex
   * @param sizes bytes that are known besides what KV lists: a listing may lag a write by a minute
   */
  async remove(sha1: string, sizes: Iterable<number> = []): Promise<void> {
    await this.#cache.put(this.#prefix + tombstoneKey(sha1), new Date().toISOString(), {
      expirationTtl: TOMBSTONE_TTL_SECONDS,
    });
    const names = new Set<string>();
    let cursor: string | null = null;
    do {
      const page: KVNamespaceListResult<unknown> = await this.#cache.list({
        prefix: `${this.#prefix}${sha1}:`,
        cursor,
      });
      for (const { name } of page.keys) names.add(name);
      cursor = page.list_complete ? null : page.cursor;
    } while (cursor !== null);
    for (const size of sizes) names.add(`${this.#prefix}${sha1}:${size}`);
    await Promise.all([...names].map((name) => this.#cache.delete(name)));
  }

  /**
   * Those of `sha1s` that have a tombstone from `since` on.
   *
   * @param since ms since the epoch
   */
  async removedSince(sha1s: readonly string[], since: number): Promise<Set<string>> {
    const names = new Map(sha1s.map((sha1) => [this.#prefix + tombstoneKey(sha1), sha1]));
    const reads = chunks([...names.keys()], KV_KEYS_PER_READ).map((batch) =>
      // KV caches misses too: the shortest time for which it may not know of a new tombstone.
      this.#cache.get(batch, { type: "text", cacheTtl: KV_CACHE_TTL_MIN_SECONDS }),
    );
    const removed = new Set<string>();
    for (const values of await Promise.all(reads)) {
      for (const [name, sha1] of names) {
        const time = values.get(name);
        // A time that is not understood is in doubt, and counts as just now.
        if (typeof time === "string" && !(Date.parse(time) < since)) removed.add(sha1);
      }
    }
    return removed;
  }
}
