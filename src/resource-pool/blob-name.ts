const BLOB_NAME = /(?:^|\/)([0-9a-f]{2})\/([0-9a-f]{2})\/(\1\2[0-9a-f]{36})$/;

/**
 * The SHA-1 of a blob of the Cloud Controller's resource pool, by its name `<anything>/ab/cd/<sha1>`, whose
 * folders are the first two bytes of the SHA-1.
 *
 * @returns 40 lower-case hex digits; undefined for what is no such blob
 */
export function sha1OfBlob(name: string): string | undefined {
  return BLOB_NAME.exec(name)?.[3];
}
