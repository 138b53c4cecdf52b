import { foldKeys, hashKeys, namesOf, sizesOf } from "../bytes/keys.ts";
import { KEY_BYTES } from "../bytes/working-memory.ts";
import type { ResourceKey } from "../resources/resource-key.ts";

/** Marks of contents, one byte each. */
export const UNKNOWN = 0;
export const PRESENT = 1;
export const REMOVED = 2;

/** The contents of a request, in its order. A content is SHA-1 and size; several resources may have the same. */
export class Contents {
  readonly count: number;
  readonly #keys: Uint8Array<ArrayBuffer>;
  #secret = "";
  #entries = new Uint8Array();

  /** @param keys key rows, as a scan writes them */
  constructor(keys: Uint8Array<ArrayBuffer>) {
    this.count = keys.length / KEY_BYTES;
    this.#keys = keys;
  }

  /** The entry hash of each content under a secret, 8 bytes. Cached for the last secret. */
  entries(secret: string): Uint8Array {
    if (secret !== this.#secret) this.#entries = hashKeys(this.#keys, secret);
    this.#secret = secret;
    return this.#entries;
  }

  /** The SHA-1 of each content, folded to 8 bytes, as push sessions store it. */
  folded(): Uint8Array<ArrayBuffer> {
    return foldKeys(this.#keys);
  }

  /** The sum of the sizes of the contents whose mark is not 0, in bytes. */
  bytesOf(marks: Uint8Array): number {
    return sizesOf(this.#keys, marks);
  }

  /** The distinct keys of the contents that are marked UNKNOWN, each with the indices of its contents. */
  unknown(marks: Uint8Array): Map<ResourceKey, number[]> {
    const indicesOf = new Map<ResourceKey, number[]>();
    if (!marks.includes(UNKNOWN)) return indicesOf;
    const names = namesOf(this.#keys, marks) as ResourceKey[];
    let next = 0;
    for (let index = 0; index < this.count; index++) {
      if (marks[index] !== UNKNOWN) continue;
      const name = names[next++] as ResourceKey;
      const indices = indicesOf.get(name);
      if (indices) indices.push(index);
      else indicesOf.set(name, [index]);
    }
    return indicesOf;
  }

  /** The distinct keys of the contents that fulfil a condition, each with the indices of its contents. */
  keysWhere(condition: (index: number) => boolean): Map<ResourceKey, number[]> {
    return this.unknown(
      Uint8Array.from({ length: this.count }, (_, index) => (condition(index) ? UNKNOWN : PRESENT)),
    );
  }

  /** The contents whose mark is not 0. */
  only(marks: Uint8Array): Contents {
    if (!marks.includes(0)) return this;
    const indices = [...marks.keys()].filter((index) => marks[index]);
    const keys = new Uint8Array(KEY_BYTES * indices.length);
    for (const [at, index] of indices.entries()) {
      keys.set(this.#keys.subarray(KEY_BYTES * index, KEY_BYTES * (index + 1)), KEY_BYTES * at);
    }
    return new Contents(keys);
  }
}
