/** The Cloud Controller looks for a blob only below `app_bits_cache`, in folders of the first two bytes of its SHA-1. */
const BLOB_NAME = /^((?:.*\/)?)app_bits_cache\/([0-9a-f]{2})\/([0-9a-f]{2})\/(\2\3[0-9a-f]{36})$/s;

export interface BlobName {
  /** The path above the pool: empty, or with a slash at its end. */
  root: string;
  /** 40 lower-case hex digits. */
  sha1: string;
}

/** Parses `<root>app_bits_cache/ab/cd/<sha1>`. Returns undefined for any other name. */
export function parseBlobName(name: string): BlobName | undefined {
  const [, root, , , sha1] = BLOB_NAME.exec(name) ?? [];
  return root === undefined || sha1 === undefined ? undefined : { root, sha1 };
}
