const BLOB_NAME = /(?:^|\/)([0-9a-f]{2})\/([0-9a-f]{2})\/(\1\2[0-9a-f]{36})$/;

/**
 * The SHA-1 that the Cloud Controller names a blob of its resource pool by: `<anything>/ab/cd/<sha1>`, where ab and
 * cd are the first two bytes.
 *
 * @returns undefined for any other name
 */
export function sha1OfBlob(name: string): string | undefined {
  return BLOB_NAME.exec(name)?.[3];
}
