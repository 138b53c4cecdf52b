import { foldKeys, hashKeys, namesOf, sizesOf } from "../bytes/keys.ts";
import { KEY_BYTES } from "../bytes/workspace.ts";
import type { ResourceKey } from "../resources/resource-key.ts";

/** What is known of each content. */
export const UNKNOWN = 0;
export const PRESENT = 1;
export const REMOVED = 2;

/** The contents of one request, in its order, as the tiers ask for them. */
export class Contents {
  readonly count: number;
  /** A row of SHA-1 and size each. */
  readonly #keys: Uint8Array<ArrayBuffer>;
  #secret = "";
  #entries = new Uint8Array();

  /** @param keys rows as a scan finds them */
  constructor(keys: Uint8Array<ArrayBuffer>) {
    this.count = keys.length / KEY_BYTES;
    this.#keys = keys;
  }

  /** The entry hash of each under a secret, 8 bytes. */
  entries(secret: string): Uint8Array {
    if (secret !== this.#secret) this.#entries = hashKeys(this.#keys, secret);
    this.#secret = secret;
    return this.#entries;
  }

  /** Each by 8 bytes of its SHA-1, as push sessions know it. */
  folded(): Uint8Array<ArrayBuffer> {
    return foldKeys(this.#keys);
  }

  /** The sizes together of those contents whose mark is not 0, in bytes. */
  bytesOf(marks: Uint8Array): number {
    return sizesOf(this.#keys, marks);
  }

  /** The key of each content that `marks` does not know, with the places at which it stands. */
  unknown(marks: Uint8Array): Map<ResourceKey, number[]> {
    const indices: number[] = [];
    for (let index = 0; index < this.count; index++) if (marks[index] === UNKNOWN) indices.push(index);
    const places = new Map<ResourceKey, number[]>();
    if (indices.length === 0) return places;
    const names = namesOf(this.#keys, marks) as ResourceKey[];
    for (const [at, index] of indices.entries()) {
      const name = names[at] as ResourceKey;
      const others = places.get(name);
      if (others) others.push(index);
      else places.set(name, [index]);
    }
    return places;
  }

  /** The key of each content that is meant, with the places at which it stands. */
  keysWhere(isMeant: (index: number) => boolean): Map<ResourceKey, number[]> {
    return this.unknown(
      Uint8Array.from({ length: this.count }, (_, index) => (isMeant(index) ? UNKNOWN : PRESENT)),
    );
  }

  /** Those contents that are meant. */
  only(isMeant: Uint8Array): Contents {
    if (!isMeant.includes(0)) return this;
    const indices = [...isMeant.keys()].filter((index) => isMeant[index]);
    const keys = new Uint8Array(KEY_BYTES * indices.length);
    for (const [at, index] of indices.entries()) {
      keys.set(this.#keys.subarray(KEY_BYTES * index, KEY_BYTES * (index + 1)), KEY_BYTES * at);
    }
    return new Contents(keys);
  }
}
