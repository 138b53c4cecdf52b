import { EntryHash } from "../cache/entry-hash.ts";
import { fromHex } from "../hex.ts";

/** A resource as a query yields it: `SELECT sha1, size …`, raw. */
export type ResourceRow = [sha1: ArrayBuffer, size: number];

/** Collects resources, in any order, as sorted entry hashes. */
export class EntryList {
  readonly #hash: EntryHash;
  #halves: Uint32Array<ArrayBuffer>;
  #count = 0;

  /**
   * @param secret 16 bytes in hex
   * @param capacity how many to expect; more fit as well
   */
  constructor(secret: string, capacity = 1024) {
    this.#hash = new EntryHash(fromHex(secret));
    this.#halves = new Uint32Array(2 * Math.max(capacity, 1));
  }

  get count(): number {
    return this.#count;
  }

  add([sha1, size]: ResourceRow): void {
    if (2 * this.#count === this.#halves.length) this.#grow();
    this.#hash.write(new Uint32Array(sha1), 0, size, this.#halves, this.#count);
    this.#count += 1;
  }

  /** A view that the list goes on using. */
  sorted(): BigUint64Array<ArrayBuffer> {
    return new BigUint64Array(this.#halves.buffer, 0, this.#count).sort();
  }

  #grow(): void {
    const grown = new Uint32Array(2 * this.#halves.length);
    grown.set(this.#halves);
    this.#halves = grown;
  }
}
