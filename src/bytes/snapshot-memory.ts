import { type BytesModule, ensureCapacity, instantiate } from "./module.ts";

const WORD_BYTES = 8;
/** Words that are looked up at a time: each has a mark, and an estimate of its position. */
const BATCH_MAX = 1_000;
const WORDS = 8_192;
const MARKS = WORDS + WORD_BYTES * BATCH_MAX;
const ESTIMATES = MARKS + BATCH_MAX;
const DIRECTORY = ESTIMATES + 4 * BATCH_MAX;
/** The average words of a sector, at most. A sector takes 4 bytes of the directory. */
const SECTOR_WORDS = 128;

/** A snapshot in a memory of its own. The next snapshot overwrites it, so that an isolate never has two. */
export class SnapshotMemory {
  readonly #module: BytesModule = instantiate();
  #count = 0;
  #directoryBits = 0;
  #set = 0;

  /** Bytes. */
  get size(): number {
    return this.#module.memory.buffer.byteLength;
  }

  /** Makes room for a snapshot of `count` words. */
  begin(count: number): void {
    this.#count = count;
    this.#directoryBits = Math.max(0, Math.ceil(Math.log2(count / SECTOR_WORDS)));
    const directoryBytes = 4 * (2 ** this.#directoryBits + 1);
    this.#set = DIRECTORY + Math.ceil(directoryBytes / WORD_BYTES) * WORD_BYTES;
    ensureCapacity(this.#module, this.#set + WORD_BYTES * count);
  }

  /** @param words ascending, within and across calls @param index of the first one */
  put(words: BigUint64Array, index: number): void {
    new BigUint64Array(this.#module.memory.buffer, this.#set, this.#count).set(words, index);
  }

  /** Call it after the last `put`. */
  finish(): void {
    this.#module.index(this.#set, this.#count, DIRECTORY, this.#directoryBits);
  }

  /**
   * Sets the mark of each word that is in the snapshot.
   *
   * @param words 8 bytes each
   * @param marks one for each word; other marks are left as they are
   */
  mark(words: Uint8Array, marks: Uint8Array, value: number): void {
    const memory = new Uint8Array(this.#module.memory.buffer);
    for (let from = 0; from < marks.length; from += BATCH_MAX) {
      const batch = marks.subarray(from, from + BATCH_MAX);
      memory.set(words.subarray(WORD_BYTES * from, WORD_BYTES * (from + batch.length)), WORDS);
      memory.set(batch, MARKS);
      this.#module.mark(
        this.#set,
        this.#count,
        DIRECTORY,
        this.#directoryBits,
        WORDS,
        batch.length,
        MARKS,
        value,
        ESTIMATES,
      );
      batch.set(memory.subarray(MARKS, MARKS + batch.length));
    }
  }
}
