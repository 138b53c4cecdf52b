import type { BytesModule } from "./module.ts";
import { ENTRY_BYTES, OFFSETS, ROWS_MAX, workingMemory } from "./working-memory.ts";

/** Words of a set that are searched at a time: 512 KiB. */
const SET_CHUNK_WORDS = 65_536;

/** How many of `marks` are `mark`. A callback for each would take ten times as long. */
export function countOf(marks: Uint8Array, mark: number): number {
  let count = 0;
  for (let index = 0; index < marks.length; index++) if (marks[index] === mark) count += 1;
  return count;
}

/** A set of words in the memory of a module, ascending, and its directory, as `assembly/set.ts` defines it. */
interface IndexedSet {
  start: number;
  count: number;
  directory: number;
  directoryBits: number;
}

/**
 * Sets the mark of each word that is a member of a set.
 *
 * @param words 8 bytes each
 * @param marks one for each word; other marks are left as they are
 */
export function markMembersOf(
  { start, count, directory, directoryBits }: IndexedSet,
  module: BytesModule,
  words: Uint8Array,
  marks: Uint8Array,
  value: number,
): void {
  const { ENTRIES, MARKS } = OFFSETS;
  const memory = new Uint8Array(module.memory.buffer);
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    const batch = marks.subarray(from, from + ROWS_MAX);
    memory.set(words.subarray(ENTRY_BYTES * from, ENTRY_BYTES * (from + batch.length)), ENTRIES);
    memory.set(batch, MARKS);
    module.mark(start, count, directory, directoryBits, batch.length, value);
    batch.set(memory.subarray(MARKS, MARKS + batch.length));
  }
}

/** The same for a set that is not in the memory of a module. @param set ascending */
export function markMembers(set: BigUint64Array, words: Uint8Array, marks: Uint8Array, value: number): void {
  const { COUNTS, BODY } = OFFSETS;
  for (let first = 0; first < set.length; first += SET_CHUNK_WORDS) {
    const chunk = set.subarray(first, first + SET_CHUNK_WORDS);
    const { module, memory } = workingMemory(ENTRY_BYTES * chunk.length);
    new BigUint64Array(memory.buffer, BODY, chunk.length).set(chunk);
    // A directory of one sector.
    new Uint32Array(memory.buffer, COUNTS, 2).set([0, chunk.length]);
    const indexed = { start: BODY, count: chunk.length, directory: COUNTS, directoryBits: 0 };
    markMembersOf(indexed, module, words, marks, value);
  }
}

/** The words that have a mark, ascending. */
export function wordsWith(mark: number, words: Uint8Array, marks: Uint8Array): BigUint64Array<ArrayBuffer> {
  // In halves, because JavaScript allocates an object for each 64-bit word.
  const halves = new Uint32Array(words.slice().buffer);
  const chosen = new Uint32Array(halves.length);
  let length = 0;
  for (let index = 0; index < marks.length; index++) {
    if (marks[index] !== mark) continue;
    chosen[length++] = halves[2 * index] as number;
    chosen[length++] = halves[2 * index + 1] as number;
  }
  return new BigUint64Array(chosen.buffer.slice(0, 4 * length)).sort();
}
