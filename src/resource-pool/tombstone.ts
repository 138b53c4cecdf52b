import type { ResourceKey } from "./resource-key.ts";

/**
 * A tombstone says that a resource was removed, to whoever holds an older copy of the pool: key
 * `<KEY_PREFIX>tombstone/<sha1>:<size>`, value the time of removal in ISO 8601. It is written before the key is
 * deleted; a key that exists again wins.
 */
export const TOMBSTONE_PREFIX = "tombstone/";

/** 7 days: longer than any copy of the pool is used without being renewed. */
export const TOMBSTONE_TTL_SECONDS = 7 * 24 * 60 * 60;

export function tombstoneKey(key: ResourceKey): string {
  return TOMBSTONE_PREFIX + key;
}
