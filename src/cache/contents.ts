import { type ResourceKey, resourceKey } from "../resource-key.ts";
import { SHA1_WORDS, writeSha1 } from "../sha1.ts";
import type { EntryHash } from "./entry-hash.ts";

/** What is asked of the cache: of a SHA-1, hex in either letter case, and bytes. */
export interface Wanted {
  checksum: { value: string };
  size_in_bytes: number;
}

/** What is known of each content. */
export const UNKNOWN = 0;
export const HELD = 1;
export const REMOVED = 2;

/** The contents of one request, in its order, as the tiers ask for them. */
export class Contents {
  readonly count: number;
  readonly #wanted: readonly Wanted[];
  readonly #words: Uint32Array;
  #hash: EntryHash | undefined;
  #entries = new Uint32Array();

  constructor(wanted: readonly Wanted[]) {
    this.count = wanted.length;
    this.#wanted = wanted;
    this.#words = new Uint32Array(SHA1_WORDS * wanted.length);
    wanted.forEach(({ checksum }, index) => {
      writeSha1(checksum.value, this.#words, SHA1_WORDS * index);
    });
  }

  /** The entry hash of each, its low half and its high half. */
  entries(hash: EntryHash): Uint32Array {
    if (hash === this.#hash) return this.#entries;
    this.#entries = new Uint32Array(2 * this.count);
    for (let index = 0; index < this.count; index++) {
      const size = (this.#wanted[index] as Wanted).size_in_bytes;
      hash.write(this.#words, SHA1_WORDS * index, size, this.#entries, index);
    }
    this.#hash = hash;
    return this.#entries;
  }

  /** The key of each content that `marks` does not know, with the places at which it stands. */
  unknown(marks: Uint8Array): Map<ResourceKey, number[]> {
    const places = new Map<ResourceKey, number[]>();
    this.#wanted.forEach(({ checksum, size_in_bytes }, index) => {
      const key = marks[index] === UNKNOWN ? resourceKey(checksum.value, size_in_bytes) : undefined;
      if (!key) return;
      const others = places.get(key);
      if (others) others.push(index);
      else places.set(key, [index]);
    });
    return places;
  }
}
