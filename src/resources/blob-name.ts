/** The Cloud Controller looks for a blob of its resource pool here and nowhere else, below the pool's root. */
const BLOB_NAME = /^((?:.*\/)?)app_bits_cache\/([0-9a-f]{2})\/([0-9a-f]{2})\/(\2\3[0-9a-f]{36})$/s;

/** A blob of a resource pool, by its name. */
export interface BlobName {
  /** What the pool lies below: empty, or with a slash at its end. */
  root: string;
  /** 40 lower-case hex digits. */
  sha1: string;
}

/**
 * A blob's name `<root>app_bits_cache/ab/cd/<sha1>` in its parts; its folders are the first two bytes of the SHA-1.
 *
 * @returns undefined for what is no such blob
 */
export function parseBlobName(name: string): BlobName | undefined {
  const [, root, , , sha1] = BLOB_NAME.exec(name) ?? [];
  return root === undefined || sha1 === undefined ? undefined : { root, sha1 };
}
