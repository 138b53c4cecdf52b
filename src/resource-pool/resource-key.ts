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
