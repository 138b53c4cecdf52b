/** Sorted arrays of 8-byte words as sets. */

/** Steps from a guess after which a binary search is quicker. */
const WALK_MAX: usize = 32;
/** About as many as a sector has. */
const STRIDE: usize = 64;

/**
 * Writes a directory over the top bits of a set's words: of each value of the bits the place where its words begin, and
 * at the end the count, 4 bytes each.
 */
export function index(words: usize, count: i32, directory: usize, bits: u32): void {
  const sectors = 1 << bits;
  let place: usize = 0;
  store<u32>(directory, 0);
  for (let sector = 1; sector < sectors; sector++) {
    const bound = (<u64>sector) << (64 - <u64>bits);
    while (place + STRIDE < <usize>count && load<u64>(words + ((place + STRIDE) << 3)) < bound) place += STRIDE;
    let end = min(place + STRIDE, <usize>count);
    while (place < end) {
      const middle = (place + end) >> 1;
      if (load<u64>(words + (middle << 3)) < bound) place = middle + 1;
      else end = middle;
    }
    store<u32>(directory + ((<usize>sector) << 2), <u32>place);
  }
  store<u32>(directory + ((<usize>sectors) << 2), <u32>count);
}

/**
 * Sets the mark of each asked word that is in a set. A pool is larger than the processor's caches: first all guesses
 * are touched, so that it waits for many of them at once, and then each is followed up.
 *
 * @param asked words, `askedCount` of them
 * @param marks a byte each
 * @param guesses room for 4 bytes each
 */
export function mark(
  words: usize,
  count: i32,
  directory: usize,
  bits: u32,
  asked: usize,
  askedCount: i32,
  marks: usize,
  value: u32,
  guesses: usize,
): i32 {
  if (count == 0) return 0;
  let touched: u64 = 0;
  for (let at: usize = 0; at < <usize>askedCount; at++) {
    const word = load<u64>(asked + (at << 3));
    const sector: usize = bits == 0 ? 0 : <usize>(word >> (64 - <u64>bits));
    const start = load<u32>(directory + (sector << 2));
    const width = load<u32>(directory + (sector << 2), 4) - start;
    // Hashes are spread evenly: how far into its sector one lies tells about where it stands.
    const guess = start + <u32>((((word << (<u64>bits)) >> 32) * <u64>width) >> 32);
    const place = guess < <u32>count ? guess : <u32>count - 1;
    store<u32>(guesses + (at << 2), place);
    touched ^= load<u64>(words + ((<usize>place) << 3));
  }
  for (let at: usize = 0; at < <usize>askedCount; at++) {
    const word = load<u64>(asked + (at << 3));
    if (has(words, <usize>count, word, load<u32>(guesses + (at << 2)))) store<u8>(marks + at, value);
  }
  // Returned, so that touching is not left out as of no use.
  return <i32>touched;
}

function has(words: usize, count: usize, word: u64, guess: usize): bool {
  let place = guess;
  let found = load<u64>(words + (place << 3));
  if (found < word) {
    const end = min(place + WALK_MAX, count - 1);
    while (place < end && found < word) {
      place += 1;
      found = load<u64>(words + (place << 3));
    }
    return found == word || (found < word && search(words, place + 1, count, word));
  }
  const end: usize = place > WALK_MAX ? place - WALK_MAX : 0;
  while (place > end && found > word) {
    place -= 1;
    found = load<u64>(words + (place << 3));
  }
  return found == word || (found > word && search(words, 0, place, word));
}

/** Binary search from one place to before another. */
function search(words: usize, from: usize, to: usize, word: u64): bool {
  let low = from;
  let end = to;
  while (low < end) {
    const middle = (low + end) >> 1;
    const found = load<u64>(words + (middle << 3));
    if (found == word) return true;
    if (found < word) low = middle + 1;
    else end = middle;
  }
  return false;
}
