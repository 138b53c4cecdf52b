import { hashKeys } from "../bytes/keys.ts";
import { KEY_BYTES, KEY_SIZE } from "../bytes/working-memory.ts";

/** A row of a raw query `SELECT sha1, size …`. */
export type EntryRow = [sha1: ArrayBuffer, size: number];

/** Resources that are hashed together. */
const ROWS_PER_HASH = 5_000;

/** Converts resources, in any order, to sorted entry hashes. */
export class EntryList {
  readonly #secret: string;
  readonly #keys = new Uint8Array(KEY_BYTES * ROWS_PER_HASH);
  readonly #sizes = new DataView(this.#keys.buffer);
  #unhashed = 0;
  #entries: Uint8Array<ArrayBuffer>;
  #hashed = 0;

  /**
   * @param secret 16 bytes in hex
   * @param capacity the expected number of resources; the list grows beyond it
   */
  constructor(secret: string, capacity = 1024) {
    this.#secret = secret;
    this.#entries = new Uint8Array(8 * Math.max(capacity, 1));
  }

  get count(): number {
    return this.#hashed + this.#unhashed;
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
    return new BigUint64Array(this.#entries.buffer, 0, this.#hashed).sort();
  }

  #hash(): void {
    const bytes = 8 * this.count;
    if (bytes > this.#entries.length) {
      const grown = new Uint8Array(Math.max(bytes, 2 * this.#entries.length));
      grown.set(this.#entries);
      this.#entries = grown;
    }
    this.#entries.set(
      hashKeys(this.#keys.subarray(0, KEY_BYTES * this.#unhashed), this.#secret),
      8 * this.#hashed,
    );
    this.#hashed += this.#unhashed;
    this.#unhashed = 0;
  }
}
