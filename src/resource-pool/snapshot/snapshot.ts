import { sha1Word } from "../sha1.ts";
import type { Entries } from "./format.ts";

/** A part, and what tells where in it a value may stand. */
interface Part extends Entries {
  count: number;
  first: number;
  last: number;
  /** Entries for each step of the heads, were they spread evenly. */
  density: number;
}

/** Guesses before what is left is walked. */
const GUESSES = 3;
/** Steps after which values are not spread evenly, and a binary search is quicker. */
const WALK_MAX = 64;

/** The pool in memory. A look-up allocates nothing. */
export class Snapshot {
  readonly id: string;
  readonly entries: number;
  readonly #parts: readonly Part[];

  /** @param parts in the order of their numbers */
  constructor(id: string, parts: readonly Entries[]) {
    this.id = id;
    this.#parts = parts.filter(({ heads }) => heads.length > 0).map(toPart);
    this.entries = this.#parts.reduce((sum, { count }) => sum + count, 0);
  }

  /**
   * Whether the pool holds a file.
   *
   * @param sha1 40 hex digits, in either letter case
   * @param size bytes
   */
  has(sha1: string, size: number): boolean {
    const head = sha1Word(sha1, 0);
    const tail = sha1Word(sha1, 4);
    for (const part of this.#parts) {
      if (head > part.last) continue;
      const { heads, tails, count } = part;
      for (let index = lowerBound(part, head); index < count && heads[index] === head; index++) {
        if (tails[2 * index] === tail && tails[2 * index + 1] === size) return true;
      }
      // Equal heads may go on in the next part.
      if (head < part.last) return false;
    }
    return false;
  }
}

function toPart(entries: Entries): Part {
  const count = entries.heads.length;
  const first = entries.heads[0] as number;
  const last = entries.heads[count - 1] as number;
  return { ...entries, count, first, last, density: count / (last - first + 1) };
}

/**
 * The first index of a part at which the head is `value` or more.
 *
 * SHA-1s are spread evenly: how large a value is tells where it stands, and how far off that was tells it better.
 */
function lowerBound({ heads, count, first, density }: Part, value: number): number {
  let index = clamp(((value - first) * density) | 0, count);
  for (let guess = 0; guess < GUESSES; guess++) {
    index = clamp(index + (((value - (heads[index] as number)) * density) | 0), count);
  }

  if ((heads[index] as number) < value) {
    const end = Math.min(index + WALK_MAX, count);
    while (index < end && (heads[index] as number) < value) index++;
    return index < end ? index : search(heads, value, end, count);
  }
  const end = Math.max(index - WALK_MAX, 0);
  while (index > end && (heads[index - 1] as number) >= value) index--;
  return index > end ? index : search(heads, value, 0, end);
}

function clamp(index: number, count: number): number {
  return index < 0 ? 0 : index < count ? index : count - 1;
}

/** Binary search between `from` and `to`, where all before are less than `value` and all after are not. */
function search(values: Uint32Array, value: number, from: number, to: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
