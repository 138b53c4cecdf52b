import { sha1Word } from "../sha1.ts";
import { type Entries, SIZE_MAX } from "./format.ts";

/** A part, and what tells where in it a value may stand. */
interface Part extends Entries {
  count: number;
  first: number;
  last: number;
  /** What of the range from the first to the last head falls to each sector. */
  width: number;
  /** Entries for each step of the heads, were they spread evenly. */
  density: number;
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
 * step waits for memory; where none depends on the one before nor decides what is done next, the processor waits for
 * many at once. Hence the loops that only compute: those that decide find what they read near.
 */
function findIn(part: Part, keys: Keys, held: Uint8Array): void {
  const { heads, count, first, last, width, density, sectors } = part;
  /** Which of the keys may stand in this part, and about where. */
  const candidates = new Int32Array(keys.heads.length);
  const places = new Int32Array(keys.heads.length);
  let among = 0;
  for (let key = 0; key < keys.heads.length; key++) {
    const head = keys.heads[key] as number;
    if (head < first || head > last || (keys.sizes[key] as number) > SIZE_MAX) continue;
    // SHA-1s are spread evenly: how far into its sector a value lies tells about where it stands.
    const distance = (head - first) / width;
    const sector = distance | 0;
    const start = sectors[sector] as number;
    candidates[among] = key;
    places[among] = start + ((sectors[sector + 1] as number) - start) * (distance - sector);
    among += 1;
  }
  for (let index = 0; index < among; index++) {
    const place = places[index] as number;
    const head = keys.heads[candidates[index] as number] as number;
    places[index] = clamp(place + (((head - (heads[place] as number)) * density) | 0), count);
  }
  for (let index = 0; index < among; index++) {
    const head = keys.heads[candidates[index] as number] as number;
    places[index] = lowerBound(heads, head, places[index] as number);
  }
  const differences = new Int32Array(among);
  for (let index = 0; index < among; index++) {
    differences[index] = difference(part, places[index] as number, keys, candidates[index] as number);
  }
  for (let index = 0; index < among; index++) {
    const key = candidates[index] as number;
    if (differences[index] === 0 || isFurtherOn(part, places[index] as number, keys, key)) held[key] = 1;
  }
}

/** 0 where the entry at a place is the key. */
function difference({ heads, tails }: Entries, place: number, keys: Keys, key: number): number {
  return (
    ((heads[place] as number) ^ (keys.heads[key] as number)) |
    ((tails[2 * place] as number) ^ (keys.tails[key] as number)) |
    ((tails[2 * place + 1] as number) ^ (keys.sizes[key] as number))
  );
}

/** Whether the key is one of the entries after a place that have the same head. */
function isFurtherOn(part: Part, place: number, keys: Keys, key: number): boolean {
  for (let next = place + 1; next < part.count && part.heads[next] === keys.heads[key]; next++) {
    if (difference(part, next, keys, key) === 0) return true;
  }
  return false;
}

function toPart({ heads, tails }: Entries): Part {
  const count = heads.length;
  const first = heads[0] as number;
  const last = heads[count - 1] as number;
  const width = (last - first + 1) / SECTORS;
  const sectors = new Uint32Array(SECTORS + 1).fill(count);
  let start = 0;
  for (let sector = 0; sector < SECTORS; sector++) {
    sectors[sector] = start;
    const next = clamp(start + Math.round(count / SECTORS), count);
    start = lowerBound(heads, first + (sector + 1) * width, next);
  }
  return { heads, tails, count, first, last, width, density: count / (last - first + 1), sectors };
}

/** The first index at which the head is `value` or more, where `guess` is about there. */
function lowerBound(heads: Uint32Array, value: number, guess: number): number {
  const count = heads.length;
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
