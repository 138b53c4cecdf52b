/** The Cloud Controller looks for a blob of its resource pool here and nowhere else, below the pool's root. */
const BLOB_NAME = /(?:^|\/)app_bits_cache\/([0-9a-f]{2})\/([0-9a-f]{2})\/(\1\2[0-9a-f]{36})$/;

/**
 * The SHA-1 of a blob of the resource pool, by its name `<anything>/app_bits_cache/ab/cd/<sha1>`, whose folders are the
 * first two bytes of the SHA-1.
 *
 * @returns 40 lower-case hex digits; undefined for what is no such blob
 */
export function sha1OfBlob(name: string): string | undefined {
  return BLOB_NAME.exec(name)?.[3];
}
