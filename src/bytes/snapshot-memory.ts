import { markMembersOf } from "./marks.ts";
import { ensureCapacity, instantiate } from "./module.ts";
import { ENTRY_BYTES, OFFSETS } from "./working-memory.ts";

/** The average words of a sector, at most. A sector takes 4 bytes of the directory. */
const SECTOR_WORDS = 128;

/** A snapshot in a memory of its own. The next snapshot overwrites it, so that an isolate never has two. */
export class SnapshotMemory {
  readonly #module = instantiate();
  #set = { start: 0, count: 0, directory: OFFSETS.BODY, directoryBits: 0 };

  /** Bytes. */
  get size(): number {
    return this.#module.memory.buffer.byteLength;
  }

  /** Makes room for a snapshot of `count` words. */
  begin(count: number): void {
    const directoryBits = Math.max(0, Math.ceil(Math.log2(count / SECTOR_WORDS)));
    const directoryBytes = 4 * (2 ** directoryBits + 1);
    const directory = OFFSETS.BODY;
    const start = directory + Math.ceil(directoryBytes / ENTRY_BYTES) * ENTRY_BYTES;
    this.#set = { start, count, directory, directoryBits };
    ensureCapacity(this.#module, start + ENTRY_BYTES * count);
  }

  /** @param words ascending, within and across calls @param index of the first one */
  put(words: BigUint64Array, index: number): void {
    new BigUint64Array(this.#module.memory.buffer, this.#set.start, this.#set.count).set(words, index);
  }

  /** Call it after the last `put`. */
  finish(): void {
    const { start, count, directory, directoryBits } = this.#set;
    this.#module.index(start, count, directory, directoryBits);
  }

  /** Sets the mark of each word that is in the snapshot. Parameters are those of `markMembersOf`. */
  mark(words: Uint8Array, marks: Uint8Array, value: number): void {
    markMembersOf(this.#set, this.#module, words, marks, value);
  }
}
