import { sha1Word } from "../sha1.ts";
import type { Entries } from "./format.ts";

/** A part, and what tells where in it a value may stand. */
interface Part extends Entries {
  count: number;
  first: number;
  last: number;
  /** What of the range from the first to the last head falls to each sector. */
  width: number;
  /** Where each sector begins, and at the end the count. */
  sectors: Uint32Array;
}

/** Of a part: few enough to stay in a cache, and enough for a good guess at what stands where within one. */
const SECTORS = 512;
/** Steps after which values are not spread evenly, and a binary search is quicker. */
const WALK_MAX = 64;

/** What is asked of the pool; of a SHA-1, hex in either letter case, and bytes. */
export interface Wanted {
  checksum: { value: string };
  size_in_bytes: number;
}

/** The pool in memory. */
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

  /** Which files the pool holds: for each, 1 or 0. */
  hasEach(wanted: readonly Wanted[]): Uint8Array {
    const held = new Uint8Array(wanted.length);
    const keys = {
      heads: new Uint32Array(wanted.length),
      tails: new Uint32Array(wanted.length),
      sizes: new Float64Array(wanted.length),
    };
    for (let file = 0; file < wanted.length; file++) {
      const { checksum, size_in_bytes } = wanted[file] as Wanted;
      keys.heads[file] = sha1Word(checksum.value, 0);
      keys.tails[file] = sha1Word(checksum.value, 4);
      keys.sizes[file] = size_in_bytes;
    }
    for (const part of this.#parts) findIn(part, keys, held);
    return held;
  }

  /** Whether the pool holds a file: of a SHA-1, hex in either letter case, and bytes. */
  has(sha1: string, size: number): boolean {
    return this.hasEach([{ checksum: { value: sha1 }, size_in_bytes: size }])[0] === 1;
  }
}

/** What is looked up, in the order in which it was asked. */
interface Keys extends Entries {
  /** Bytes, which an entry may have no room for. */
  sizes: Float64Array;
}

/**
 * Marks in `held` those of `keys` that a part holds.
 *
 * All are looked up together, a step at a time. A pool is larger than the processor's caches, so that nearly every
 * step waits for memory; within a step none depends on the one before, and the processor waits for many at once.
 */
function findIn(part: Part, keys: Keys, held: Uint8Array): void {
  const { heads, tails, count, first, last, width, sectors } = part;
  /** Which of the keys may stand in this part, and about where. */
  const candidates = new Int32Array(keys.heads.length);
  const places = new Int32Array(keys.heads.length);
  let among = 0;
  for (let key = 0; key < keys.heads.length; key++) {
    const head = keys.heads[key] as number;
    if (head < first || head > last) continue;
    // SHA-1s are spread evenly: how far into its sector a value lies tells about where it stands.
    const distance = (head - first) / width;
    const sector = distance | 0;
    const start = sectors[sector] as number;
    candidates[among] = key;
    places[among] = start + ((sectors[sector + 1] as number) - start) * (distance - sector);
    among += 1;
  }
  for (let index = 0; index < among; index++) {
    const head = keys.heads[candidates[index] as number] as number;
    places[index] = lowerBound(part, head, places[index] as number);
  }
  for (let index = 0; index < among; index++) {
    const key = candidates[index] as number;
    const head = keys.heads[key];
    for (let place = places[index] as number; place < count && heads[place] === head; place++) {
      if (tails[2 * place] === keys.tails[key] && tails[2 * place + 1] === keys.sizes[key]) held[key] = 1;
    }
  }
}

function toPart(entries: Entries): Part {
  const count = entries.heads.length;
  const first = entries.heads[0] as number;
  const last = entries.heads[count - 1] as number;
  const width = (last - first + 1) / SECTORS;
  const sectors = new Uint32Array(SECTORS + 1).fill(count);
  for (let sector = 0; sector < SECTORS; sector++) {
    sectors[sector] = search(entries.heads, first + sector * width, 0, count);
  }
  return { ...entries, count, first, last, width, sectors };
}

/** The first index of a part at which the head is `value` or more, where `guess` is about there. */
function lowerBound({ heads, count }: Part, value: number, guess: number): number {
  let index = guess;
  if ((heads[index] as number) < value) {
    const end = Math.min(index + WALK_MAX, count);
    while (index < end && (heads[index] as number) < value) index++;
    return index < end ? index : search(heads, value, end, count);
  }
  const end = Math.max(index - WALK_MAX, 0);
  while (index > end && (heads[index - 1] as number) >= value) index--;
  return index > end ? index : search(heads, value, 0, end);
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
