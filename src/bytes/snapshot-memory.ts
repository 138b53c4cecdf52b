import { type Bytes, extend, instantiate } from "./module.ts";

const WORD_BYTES = 8;
/** Asked at a time: of each its word, its mark, and a guess where it stands. */
const ASKED_MAX = 1_000;
const ASKED = 8_192;
const MARKS = ASKED + WORD_BYTES * ASKED_MAX;
const GUESSES = MARKS + ASKED_MAX;
const DIRECTORY = GUESSES + 4 * ASKED_MAX;
/** Words of a sector, at most, where they are spread evenly: 4 bytes of the directory each. */
const SECTOR_WORDS = 128;

/**
 * A snapshot in a memory of its own, whose size it has. Another takes its place in it, so that two are never held at
 * once.
 */
export class SnapshotMemory {
  readonly #bytes: Bytes = instantiate();
  #count = 0;
  #bits = 0;
  #words = 0;

  /** Bytes. */
  get size(): number {
    return this.#bytes.memory.buffer.byteLength;
  }

  /** Forgets all, and makes room. */
  begin(count: number): void {
    this.#count = count;
    this.#bits = Math.max(0, Math.ceil(Math.log2(count / SECTOR_WORDS)));
    const directoryBytes = 4 * (2 ** this.#bits + 1);
    this.#words = DIRECTORY + Math.ceil(directoryBytes / WORD_BYTES) * WORD_BYTES;
    extend(this.#bytes, this.#words + WORD_BYTES * count);
  }

  /** @param at the number of the first of `words`, which with all others are ascending */
  put(words: BigUint64Array, at: number): void {
    new BigUint64Array(this.#bytes.memory.buffer, this.#words, this.#count).set(words, at);
  }

  /** All has been put. */
  finish(): void {
    this.#bytes.index(this.#words, this.#count, DIRECTORY, this.#bits);
  }

  /**
   * Sets to `value` the mark of each asked word that it holds.
   *
   * @param asked 8 bytes a word
   * @param marks one a word
   */
  mark(asked: Uint8Array, marks: Uint8Array, value: number): void {
    const memory = new Uint8Array(this.#bytes.memory.buffer);
    for (let from = 0; from < marks.length; from += ASKED_MAX) {
      const some = marks.subarray(from, from + ASKED_MAX);
      memory.set(asked.subarray(WORD_BYTES * from, WORD_BYTES * (from + some.length)), ASKED);
      memory.set(some, MARKS);
      this.#bytes.mark(
        ...([this.#words, this.#count, DIRECTORY, this.#bits] as const),
        ...([ASKED, some.length, MARKS, value, GUESSES] as const),
      );
      some.set(memory.subarray(MARKS, MARKS + some.length));
    }
  }
}
