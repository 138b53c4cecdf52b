/**
 * The name by which the pool knows a file: `<sha1>:<size>`, the SHA-1 in lower-case hex, the size in bytes.
 * A key of the cache is `<KEY_PREFIX><resource key>`, its value `1`.
 */
export type ResourceKey = `${string}:${number}`;

/** The value of a key of the cache. Anything else is not understood, and counts as not held. */
export const HELD = "1";

const SHA1_HEX = /^[0-9a-f]{40}$/;

/**
 * @param sha1 40 characters; hex in any letter case
 * @param size bytes
 * @returns undefined where the checksum is no hex, and so can't name a file of the pool
 */
export function resourceKey(sha1: string, size: number): ResourceKey | undefined {
  const checksum = sha1.toLowerCase();
  return SHA1_HEX.test(checksum) ? `${checksum}:${size}` : undefined;
}

/** The two halves of a resource key: 40 characters of lower-case hex, and bytes. */
export interface ResourceIdentity {
  sha1: string;
  size: number;
}

const RESOURCE_KEY = /^([0-9a-f]{40}):(0|[1-9]\d{0,15})$/;

/**
 * What a key of the cache stands for.
 *
 * @param name with `keyPrefix` in front
 * @returns undefined for anything else that a namespace may hold: snapshots, tombstones, keys of other prefixes
 */
export function parseCacheKey(name: string, keyPrefix: string): ResourceIdentity | undefined {
  if (!name.startsWith(keyPrefix)) return undefined;
  const [, sha1, digits] = RESOURCE_KEY.exec(name.slice(keyPrefix.length)) ?? [];
  const size = Number(digits);
  return sha1 !== undefined && Number.isSafeInteger(size) ? { sha1, size } : undefined;
}
