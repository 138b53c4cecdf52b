import { hashKeys } from "../bytes/keys.ts";
import { KEY_BYTES, KEY_SIZE } from "../bytes/workspace.ts";

/** A resource as a query yields it: `SELECT sha1, size …`, raw. */
export type ResourceRow = [sha1: ArrayBuffer, size: number];

/** Resources that are hashed together. */
const AT_A_TIME = 5_000;

/** Collects resources, in any order, as sorted entry hashes. */
export class EntryList {
  readonly #secret: string;
  readonly #keys = new Uint8Array(KEY_BYTES * AT_A_TIME);
  readonly #sizes = new DataView(this.#keys.buffer);
  #waiting = 0;
  #entries: Uint8Array<ArrayBuffer>;
  #hashed = 0;

  /**
   * @param secret 16 bytes in hex
   * @param capacity how many to expect; more fit as well
   */
  constructor(secret: string, capacity = 1024) {
    this.#secret = secret;
    this.#entries = new Uint8Array(8 * Math.max(capacity, 1));
  }

  get count(): number {
    return this.#hashed + this.#waiting;
  }

  add([sha1, size]: ResourceRow): void {
    const row = KEY_BYTES * this.#waiting;
    this.#keys.set(new Uint8Array(sha1), row);
    this.#sizes.setFloat64(row + KEY_SIZE, size, true);
    this.#waiting += 1;
    if (this.#waiting === AT_A_TIME) this.#hash();
  }

  /** A view that the list goes on using. */
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
      hashKeys(this.#keys.subarray(0, KEY_BYTES * this.#waiting), this.#secret),
      8 * this.#hashed,
    );
    this.#hashed += this.#waiting;
    this.#waiting = 0;
  }
}
