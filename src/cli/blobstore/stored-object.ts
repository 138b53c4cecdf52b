/** Something in a blobstore, which may be a blob of the resource pool. */
export interface StoredObject {
  /** The whole path, with `/`. */
  name: string;
  /** Bytes. */
  size: number;
}

/** What was not taken of a blobstore. */
export interface Passed {
  /** Objects that are no blobs of a resource pool. */
  skipped: number;
  /** Objects that could not be read; each has been named on stderr. */
  leftOut: number;
}

/** A place in a blobstore that is a service. */
export interface Place {
  /** As it was given. */
  location: string;
  /** A bucket; Azure says container. */
  bucket: string;
  /** Empty, or with a slash at its end. */
  prefix: string;
}
