import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import { LEARNED_KEYS_PER_MESSAGE, learnedMessages } from "./changes.ts";
import { PoolKeys } from "./pool-keys.ts";
import { type ResourceKey, sha1Of } from "./resource-key.ts";

/**
 * Makes the cache know what the Cloud Controller has matched: through POOL_CHANGES, or without a queue by writing
 * the first 500 keys; the next push brings the next ones. Never throws: what is not learned now is learned later.
 */
export async function learn(
  keys: readonly ResourceKey[],
  { configuration, log }: RequestContext,
): Promise<void> {
  const { cache, keyPrefix, poolChanges } = configuration;
  try {
    if (poolChanges) {
      await Promise.all(learnedMessages(credible(keys)).map((message) => poolChanges.send(message)));
    } else {
      const pool = new PoolKeys(cache, keyPrefix);
      await Promise.all(
        credible(keys)
          .slice(0, LEARNED_KEYS_PER_MESSAGE)
          .map((key) => pool.add(key)),
      );
    }
  } catch (error) {
    log.warn("not-learned", { keys: keys.length, cause: causeOf(error) });
  }
}

/** The Cloud Controller does not compare sizes, but a file has only one: checksums with several are made up. */
function credible(keys: readonly ResourceKey[]): ResourceKey[] {
  const bySha1 = Map.groupBy(keys, sha1Of);
  return keys.filter((key) => bySha1.get(sha1Of(key))?.length === 1);
}
