import { note } from "../terminal/output.ts";

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
  /** Parts that could not be read. If there are any, the listing is incomplete: nothing may be pruned by it. */
  unreadable: number;
}

/** Counts a part of a blobstore that could not be read, and prints why on stderr. */
export function countUnreadable(counts: NotAdded, message: string): void {
  counts.unreadable += 1;
  note(message);
}

export interface Place {
  /** As the user wrote it. */
  location: string;
  /** In Azure: a container. */
  bucket: string;
  /** Empty, or ends with a slash. */
  prefix: string;
}
