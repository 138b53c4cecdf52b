import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { membersBesidePath, type Resource } from "./request.ts";

/** What a resource may be longer by in the usual form, where its size came as `1e15`. */
const GROWTH_MAX_BYTES = 16;
const BEFORE_RESOURCES = '{"resources":[';

/** A request in the usual form. */
export interface CanonicalRequest {
  /** Resources whose checksum is hex. */
  count: number;
  /** JSON text of those that are not too long. */
  text: Uint8Array;
  /** Checksums of those that are. */
  tooLong: string[];
}

/**
 * Resources in the usual form, written over the body in which they are read, behind where reading has come to: a second
 * body of 15 MiB is held only where they grow beyond that.
 */
export class CanonicalText {
  readonly #body: Uint8Array;
  #text: Uint8Array;
  #length = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
    this.#text = body;
  }

  /**
   * Adds a resource, its path first: that stands in the body behind as much as is written before it.
   *
   * @param path its JSON text, as it lies in the body or not; empty where there is none
   * @param read where in the body the path begins, and where the resource ends
   */
  add(resource: Resource, path: Uint8Array, read: { path: number | undefined; end: number }): void {
    const hasPath = path.length > 0;
    const before = this.#length === 0 ? BEFORE_RESOURCES : ",";
    this.#write(encode(`${before}{${hasPath ? '"path":' : ""}`), hasPath ? read.path : read.end);
    this.#write(path, read.end);
    this.#write(encode(`${hasPath ? "," : ""}${membersBesidePath(resource)}}`), read.end);
  }

  /** Forgets all that was added. */
  clear(): void {
    this.#length = 0;
  }

  /** The text of all, once the body has been read to its end. */
  finished(): Uint8Array {
    this.#write(encode(this.#length === 0 ? `${BEFORE_RESOURCES}]}` : "]}"), this.#body.length);
    return this.#text.subarray(0, this.#length);
  }

  /** @param read how much of the body may be written over */
  #write(bytes: Uint8Array, read = 0): void {
    if (this.#text === this.#body && this.#length + bytes.length > read) {
      this.#text = new Uint8Array(this.#body.length + RESOURCES_PER_REQUEST_MAX * GROWTH_MAX_BYTES);
      this.#text.set(this.#body.subarray(0, this.#length));
    }
    this.#text.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
