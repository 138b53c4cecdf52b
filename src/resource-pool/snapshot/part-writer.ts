import { createPart } from "./format.ts";
import type { EntrySink } from "./merge.ts";
import type { Position } from "./sources.ts";
import { PART_ENTRIES_MAX, SNAPSHOT_ENTRIES_MAX, type SnapshotStore, snapshotNames } from "./store.ts";

/** How far a snapshot has been written. */
export interface Progress {
  parts: number;
  entries: number;
  /** Entries that the snapshot before lacks. */
  newEntries: number;
  /** Entries for which there was no room. */
  leftOut: number;
}

/** Writes merged entries as the parts of a snapshot. */
export class PartWriter implements EntrySink {
  readonly progress: Progress;
  readonly #store: SnapshotStore;
  readonly #keyPrefix: string;
  readonly #id: string;
  readonly #scratch = createPart("", 0, PART_ENTRIES_MAX);
  #count = 0;
  /** The last entry that was added. */
  position: Position | undefined;

  constructor(store: SnapshotStore, keyPrefix: string, id: string, progress?: Progress) {
    this.#store = store;
    this.#keyPrefix = keyPrefix;
    this.#id = id;
    this.progress = { ...(progress ?? { parts: 0, entries: 0, newEntries: 0, leftOut: 0 }) };
  }

  get isFull(): boolean {
    return this.#count === PART_ENTRIES_MAX;
  }

  add(head: number, tail: number, size: number, isNew: boolean): void {
    this.position = [head, tail, size];
    if (this.progress.entries === SNAPSHOT_ENTRIES_MAX) {
      this.progress.leftOut += 1;
      return;
    }
    this.#scratch.heads[this.#count] = head;
    this.#scratch.tails[2 * this.#count] = tail;
    this.#scratch.tails[2 * this.#count + 1] = size;
    this.#count += 1;
    this.progress.entries += 1;
    if (isNew) this.progress.newEntries += 1;
  }

  /** Writes what has been added as a part of its own. */
  async flush(): Promise<void> {
    const count = this.#count;
    if (count === 0) return;
    const number = this.progress.parts;
    const part = createPart(this.#id, number, count);
    part.heads.set(this.#scratch.heads.subarray(0, count));
    part.tails.set(this.#scratch.tails.subarray(0, 2 * count));
    await this.#store.put(snapshotNames(this.#keyPrefix).part(this.#id, number), part.bytes);
    this.progress.parts += 1;
    this.#count = 0;
  }
}
