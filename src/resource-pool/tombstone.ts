/**
 * A tombstone says that the pool has lost a file, to whoever builds a copy of the pool. It names the checksum
 * alone: who removes a blob often can't know its size, and no other file has that checksum.
 *
 * Key `<KEY_PREFIX>tombstone/<sha1>`, value the time of the removal in ISO 8601. It is written before the keys
 * are deleted; a key that exists again wins.
 */
export const TOMBSTONE_PREFIX = "tombstone/";

/** 7 days: far longer than a copy of the pool is used without being renewed. */
export const TOMBSTONE_TTL_SECONDS = 7 * 24 * 60 * 60;

/** @param sha1 lower-case hex */
export function tombstoneKey(sha1: string): string {
  return TOMBSTONE_PREFIX + sha1;
}
