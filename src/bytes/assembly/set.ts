/** Sets of 8-byte words, as sorted arrays. */
import { ENTRIES, ESTIMATES, MARKS } from "./layout";

/** Steps from an estimate after which a binary search is faster. */
const WALK_MAX: usize = 32;
/** About the number of words in a sector. */
const STRIDE: usize = 64;

/**
 * Writes a directory: for each value of the top bits of a word the position of the first such word, and at the end the count,
 * 4 bytes each.
 */
export function index(set: usize, count: i32, directory: usize, bits: u32): void {
  const sectors = 1 << bits;
  let position: usize = 0;
  store<u32>(directory, 0);
  for (let sector = 1; sector < sectors; sector++) {
    const bound = (<u64>sector) << (64 - <u64>bits);
    while (position + STRIDE < <usize>count && load<u64>(set + ((position + STRIDE) << 3)) < bound) position += STRIDE;
    let end = min(position + STRIDE, <usize>count);
    while (position < end) {
      const middle = (position + end) >> 1;
      if (load<u64>(set + (middle << 3)) < bound) position = middle + 1;
      else end = middle;
    }
    store<u32>(directory + ((<usize>sector) << 2), <u32>position);
  }
  store<u32>(directory + ((<usize>sectors) << 2), <u32>count);
}

/**
 * Sets the mark of each word at ENTRIES that is in a set, by interpolation search. A set is larger than the processor's caches, so
 * the first loop touches all estimated positions: the processor then waits for many of them at once.
 */
export function mark(
  set: usize,
  count: i32,
  directory: usize,
  bits: u32,
  wordCount: i32,
  value: u32,
): i32 {
  if (count == 0) return 0;
  let touched: u64 = 0;
  for (let at: usize = 0; at < <usize>wordCount; at++) {
    const word = load<u64>(ENTRIES + (at << 3));
    const sector: usize = bits == 0 ? 0 : <usize>(word >> (64 - <u64>bits));
    const start = load<u32>(directory + (sector << 2));
    const width = load<u32>(directory + (sector << 2), 4) - start;
    // Hashes are evenly distributed, so the bits after the sector's give the position within it.
    const estimate = start + <u32>((((word << (<u64>bits)) >> 32) * <u64>width) >> 32);
    const position = estimate < <u32>count ? estimate : <u32>count - 1;
    store<u32>(ESTIMATES + (at << 2), position);
    touched ^= load<u64>(set + ((<usize>position) << 3));
  }
  for (let at: usize = 0; at < <usize>wordCount; at++) {
    const word = load<u64>(ENTRIES + (at << 3));
    if (has(set, <usize>count, word, load<u32>(ESTIMATES + (at << 2)))) store<u8>(MARKS + at, value);
  }
  // Returned, so that the compiler keeps the first loop.
  return <i32>touched;
}

function has(set: usize, count: usize, word: u64, estimate: usize): bool {
  let position = estimate;
  let found = load<u64>(set + (position << 3));
  if (found < word) {
    const end = min(position + WALK_MAX, count - 1);
    while (position < end && found < word) {
      position += 1;
      found = load<u64>(set + (position << 3));
    }
    return found == word || (found < word && search(set, position + 1, count, word));
  }
  const end: usize = position > WALK_MAX ? position - WALK_MAX : 0;
  while (position > end && found > word) {
    position -= 1;
    found = load<u64>(set + (position << 3));
  }
  return found == word || (found > word && search(set, 0, position, word));
}

/** Binary search in `from` to `to`, which is excluded. */
function search(set: usize, from: usize, to: usize, word: u64): bool {
  let low = from;
  let end = to;
  while (low < end) {
    const middle = (low + end) >> 1;
    const found = load<u64>(set + (middle << 3));
    if (found == word) return true;
    if (found < word) low = middle + 1;
    else end = middle;
  }
  return false;
}
