import { hashKeys } from "../bytes/keys.ts";
import { KEY_BYTES, KEY_SIZE } from "../bytes/working-memory.ts";

/** A row of a raw query `SELECT sha1, size …`. */
export type EntryRow = [sha1: ArrayBuffer, size: number];

/** A part of all entry hashes, from 0 to 1: `from` is included, `until` is not. */
export interface HashRange {
  from: number;
  until: number;
}

/** Resources that are hashed together. */
const ROWS_PER_HASH = 5_000;

/** Converts resources, in any order, to sorted entry hashes. */
export class EntryList {
  readonly #secret: string;
  /** Limits of the upper half of a hash. */
  #from = 0;
  #until = 2 ** 32;
  readonly #keys = new Uint8Array(KEY_BYTES * ROWS_PER_HASH);
  readonly #sizes = new DataView(this.#keys.buffer);
  #unhashed = 0;
  /** Two halves for each hash, because JavaScript allocates an object for each 64-bit word. */
  #halves: Uint32Array<ArrayBuffer>;
  #hashed = 0;

  /**
   * @param secret 16 bytes in hex
   * @param capacity the expected number of entries; the list grows beyond it
   */
  constructor(secret: string, capacity = 1024) {
    this.#secret = secret;
    this.#halves = new Uint32Array(2 * capacity);
  }

  /** Empties the list. Then entries whose hash is not in the range are left out. */
  restart({ from, until }: HashRange): void {
    this.#from = Math.round(from * 2 ** 32);
    this.#until = Math.round(until * 2 ** 32);
    this.#unhashed = 0;
    this.#hashed = 0;
  }

  add([sha1, size]: EntryRow): void {
    const row = KEY_BYTES * this.#unhashed;
    this.#keys.set(new Uint8Array(sha1), row);
    this.#sizes.setFloat64(row + KEY_SIZE, size, true);
    this.#unhashed += 1;
    if (this.#unhashed === ROWS_PER_HASH) this.#hash();
  }

  /** @returns a view of the list's memory, valid until the list changes */
  sorted(): BigUint64Array<ArrayBuffer> {
    this.#hash();
    return new BigUint64Array(this.#halves.buffer, 0, this.#hashed).sort();
  }

  #hash(): void {
    const hashes = hashKeys(this.#keys.subarray(0, KEY_BYTES * this.#unhashed), this.#secret);
    const halves = new Uint32Array(hashes.buffer);
    this.#reserve(2 * (this.#hashed + this.#unhashed));
    let end = 2 * this.#hashed;
    for (let at = 0; at < halves.length; at += 2) {
      const upper = halves[at + 1] as number;
      if (upper < this.#from || upper >= this.#until) continue;
      this.#halves[end] = halves[at] as number;
      this.#halves[end + 1] = upper;
      end += 2;
    }
    this.#hashed = end / 2;
    this.#unhashed = 0;
  }

  #reserve(length: number): void {
    if (length <= this.#halves.length) return;
    const grown = new Uint32Array(Math.max(length, 2 * this.#halves.length));
    grown.set(this.#halves);
    this.#halves = grown;
  }
}
