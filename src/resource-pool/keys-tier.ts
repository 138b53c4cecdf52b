import { chunks } from "../chunks.ts";
import type { Deadline } from "../deadline.ts";
import { causeOf } from "../log.ts";
import { KV_KEYS_PER_READ } from "../platform-limits.ts";
import { HELD, type ResourceKey } from "./resource-key.ts";
import type { Fault, Tier } from "./tier.ts";

interface KeysTierOptions {
  keyPrefix: string;
  /**
   * Seconds that KV may answer from its cache: repeated pushes of an app then cost no central read. It caches
   * misses too, so that a file becomes known this much later than it was written, and a removed one is still
   * claimed for as long.
   */
  cacheTtl: number;
}

/**
 * The pool as one key a resource in Workers KV.
 *
 * All bulk reads start at once: the runtime lets six of them wait for KV at a time and queues the others.
 */
export function keysTier(cache: KVNamespace, { keyPrefix, cacheTtl }: KeysTierOptions): Tier {
  async function read(keys: readonly ResourceKey[]): Promise<ResourceKey[]> {
    const values = await cache.get(
      keys.map((key) => keyPrefix + key),
      { type: "text", cacheTtl },
    );
    return keys.filter((key) => values.get(keyPrefix + key) === HELD);
  }

  return {
    name: "keys",
    async lookUp(keys, deadline: Deadline) {
      const batches = chunks(keys, KV_KEYS_PER_READ);
      const reads = await Promise.allSettled(batches.map((batch) => deadline.race(read(batch))));

      const held = reads.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
      const failed = reads.flatMap((outcome, index) =>
        outcome.status === "rejected" ? [{ cause: causeOf(outcome.reason), keys: batches[index] ?? [] }] : [],
      );
      return { held, faults: failed.length === 0 ? [] : [unreadFault(failed)] };
    },
  };
}

function unreadFault(reads: { cause: string; keys: readonly ResourceKey[] }[]): Fault {
  const unread = reads.reduce((sum, { keys }) => sum + keys.length, 0);
  return {
    warning: `The resource cache did not answer for ${unread} files: some may be uploaded although the platform holds them.`,
    details: { tier: "keys", unread, causes: [...new Set(reads.map(({ cause }) => cause))] },
  };
}
