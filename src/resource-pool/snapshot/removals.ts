import { isSha1Hex, sha1Word } from "../sha1.ts";
import { TOMBSTONE_PREFIX } from "../tombstone.ts";
import type { SnapshotStore } from "./store.ts";

/**
 * What has been removed, by its tombstones, which KV lists in the order of their checksums: asked in that order, it
 * holds a page of them at a time.
 */
export class Removals {
  readonly #store: SnapshotStore;
  readonly #prefix: string;
  #page: { head: number; tail: number }[] = [];
  #index = 0;
  #cursor: string | undefined;
  #isLast = false;

  constructor(store: SnapshotStore, keyPrefix: string) {
    this.#store = store;
    this.#prefix = keyPrefix + TOMBSTONE_PREFIX;
  }

  /**
   * Whether a file has been removed, by the first 8 bytes of its SHA-1, each time the same or larger ones.
   *
   * @returns undefined where that is on another page: `load` it, and ask again
   */
  has(head: number, tail: number): boolean | undefined {
    for (; this.#index < this.#page.length; this.#index++) {
      const removal = this.#page[this.#index] as { head: number; tail: number };
      const difference = removal.head - head || removal.tail - tail;
      if (difference === 0) return true;
      if (difference > 0) return false;
    }
    return this.#isLast ? false : undefined;
  }

  async load(): Promise<void> {
    const { names, cursor } = await this.#store.list(this.#prefix, this.#cursor);
    const sha1s = names.map((name) => name.slice(this.#prefix.length)).filter(isSha1Hex);
    this.#page = sha1s.map((sha1) => ({ head: sha1Word(sha1, 0), tail: sha1Word(sha1, 4) }));
    this.#index = 0;
    this.#cursor = cursor;
    this.#isLast = cursor === undefined;
  }
}
