import { sha1Word } from "../sha1.ts";
import { type Entries, SIZE_MAX } from "./format.ts";
import { PartWriter } from "./part-writer.ts";
import {
  newSnapshotId,
  type Pointer,
  SNAPSHOT_ENTRIES_MAX,
  type SnapshotStore,
  snapshotNames,
} from "./store.ts";

const FIRST_CAPACITY = 1 << 16;

/** Collects resources, in any order, that are to come into the snapshot without a key of their own. */
export class Addition {
  #heads = new Uint32Array(FIRST_CAPACITY);
  #tails = new Uint32Array(2 * FIRST_CAPACITY);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  /**
   * @param sha1 40 hex digits
   * @param size bytes
   * @returns false where the snapshot can't hold it, and it needs a key
   */
  add(sha1: string, size: number): boolean {
    if (size > SIZE_MAX || this.#count === SNAPSHOT_ENTRIES_MAX) return false;
    if (this.#count === this.#heads.length) this.#grow();
    this.#heads[this.#count] = sha1Word(sha1, 0);
    this.#tails[2 * this.#count] = sha1Word(sha1, 4);
    this.#tails[2 * this.#count + 1] = size;
    this.#count += 1;
    return true;
  }

  /** Writes the parts and then announces them, for this build and all that come soon. */
  async write(store: SnapshotStore, keyPrefix: string, now: number): Promise<Pointer> {
    const id = newSnapshotId(now);
    const writer = new PartWriter(store, keyPrefix, id);
    for (const [head, tail, size] of this.#sorted()) {
      writer.add(head, tail, size, true);
      if (writer.isFull) await writer.flush();
    }
    await writer.flush();
    const { entries, parts } = writer.progress;
    const builtAt = new Date(now).toISOString();
    const pointer: Pointer = { id, entries, parts, builtAt, checkedAt: builtAt, merged: [] };
    await store.put(snapshotNames(keyPrefix).addition(id), JSON.stringify(pointer));
    return pointer;
  }

  *#sorted(): Iterable<[number, number, number]> {
    const entries = this.#entries;
    const { heads, tails } = entries;
    const indices = Uint32Array.from({ length: this.#count }, (_, index) => index);
    let before = -1;
    for (const index of indices.sort((a, b) => compare(entries, a, b))) {
      if (before >= 0 && compare(entries, before, index) === 0) continue;
      before = index;
      yield [heads[index] as number, tails[2 * index] as number, tails[2 * index + 1] as number];
    }
  }

  get #entries(): Entries {
    return { heads: this.#heads, tails: this.#tails };
  }

  #grow(): void {
    const { heads, tails } = this.#entries;
    this.#heads = new Uint32Array(2 * heads.length);
    this.#heads.set(heads);
    this.#tails = new Uint32Array(2 * tails.length);
    this.#tails.set(tails);
  }
}

function compare({ heads, tails }: Entries, a: number, b: number): number {
  return (
    (heads[a] as number) - (heads[b] as number) ||
    (tails[2 * a] as number) - (tails[2 * b] as number) ||
    (tails[2 * a + 1] as number) - (tails[2 * b + 1] as number)
  );
}
