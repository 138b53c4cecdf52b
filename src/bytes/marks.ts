import { AT, ENTRY_BYTES, ROWS_MAX, workspace } from "./workspace.ts";

/** A set that is larger is looked up in part by part: 512 KiB. */
const SET_PART = 65_536;

/** How many have this mark. In a loop: a callback of each takes ten times as long. */
export function countOf(marks: Uint8Array, mark: number): number {
  let count = 0;
  for (let index = 0; index < marks.length; index++) if (marks[index] === mark) count += 1;
  return count;
}

/**
 * Sets to `value` the mark of each asked word that is in a set.
 *
 * @param set ascending
 * @param asked 8 bytes a word
 * @param marks one a word
 */
export function markMembers(set: BigUint64Array, asked: Uint8Array, marks: Uint8Array, value: number): void {
  const { COUNTS, ENTRIES, MARKS, GUESSES, BODY } = AT;
  for (let first = 0; first < set.length; first += SET_PART) {
    const part = set.subarray(first, first + SET_PART);
    const { module, memory } = workspace(ENTRY_BYTES * part.length);
    new BigUint64Array(memory.buffer, BODY, part.length).set(part);
    for (let from = 0; from < marks.length; from += ROWS_MAX) {
      const some = marks.subarray(from, from + ROWS_MAX);
      memory.set(asked.subarray(ENTRY_BYTES * from, ENTRY_BYTES * (from + some.length)), ENTRIES);
      memory.set(some, MARKS);
      new Uint32Array(memory.buffer, COUNTS, 2).set([0, part.length]);
      module.mark(BODY, part.length, COUNTS, 0, ENTRIES, some.length, MARKS, value, GUESSES);
      some.set(memory.subarray(MARKS, MARKS + some.length));
    }
  }
}

/** The words that have a mark, in ascending order. */
export function wordsWith(mark: number, words: Uint8Array, marks: Uint8Array): BigUint64Array<ArrayBuffer> {
  // As halves: JavaScript makes an object of each 64-bit word.
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
