/** An object of a blobstore. It may be a blob of the resource pool. */
export interface StoredObject {
  /** The whole path, with `/`. */
  name: string;
  /** Bytes. */
  size: number;
}

/** Objects of a blobstore that are not added. Counted while it is read. */
export interface NotAdded {
  /** Objects that are not blobs of a resource pool. */
  skipped: number;
  /** Objects that could not be read; each is named on stderr. */
  unreadable: number;
}

export interface Place {
  /** As the user wrote it. */
  location: string;
  /** In Azure: a container. */
  bucket: string;
  /** Empty, or ends with a slash. */
  prefix: string;
}
