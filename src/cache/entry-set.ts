/** Of a set: few enough to stay in a processor's cache, and enough for a good guess at what stands where within one. */
const SECTORS = 512;
/** Steps after which a binary search is quicker. */
const WALK_MAX = 64;

/**
 * A sorted array of entry hashes as a set. All of a request's entries are looked up together, a step at a time: a pool
 * is larger than the processor's caches, so that nearly every step waits for memory, and where none depends on the one
 * before, the processor waits for many at once.
 */
export class EntrySet {
  readonly size: number;
  /** Of each entry its low half and its high half. */
  readonly #halves: Uint32Array;
  /** Where each sector of equal high halves begins, and at the end the size. */
  readonly #sectors = new Uint32Array(SECTORS + 1);

  /** @param entries ascending; the set is a view of them */
  constructor(entries: BigUint64Array) {
    this.size = entries.length;
    this.#halves = new Uint32Array(entries.buffer, entries.byteOffset, 2 * entries.length);
    const width = 0x1_0000_0000 / SECTORS;
    for (let sector = 0; sector < SECTORS; sector++) {
      const guess = Math.min(Math.round((sector / SECTORS) * this.size), this.size - 1);
      this.#sectors[sector] = this.size === 0 ? 0 : this.#lowerBound(sector * width, guess);
    }
    this.#sectors[SECTORS] = this.size;
  }

  /** This set and others, which are ascending too. */
  with(others: BigUint64Array): EntrySet {
    const own = new BigUint64Array(this.#halves.buffer, this.#halves.byteOffset, this.size);
    const all = new BigUint64Array(own.length + others.length);
    let [left, right] = [0, 0];
    for (let at = 0; at < all.length; at++) {
      const isOwn =
        right === others.length || (left < own.length && (own[left] as bigint) <= (others[right] as bigint));
      all[at] = (isOwn ? own[left++] : others[right++]) as bigint;
    }
    return new EntrySet(all);
  }

  /**
   * Sets `marks` to `mark` for each entry that the set has.
   *
   * @param entries of each its low half and its high half
   */
  mark(entries: Uint32Array, marks: Uint8Array, mark: number): void {
    if (this.size === 0) return;
    const count = marks.length;
    const places = new Int32Array(count);
    const sectors = this.#sectors;
    for (let index = 0; index < count; index++) {
      // Hashes are spread evenly: how far into its sector one lies tells about where it stands.
      const distance = ((entries[2 * index + 1] as number) / 0x1_0000_0000) * SECTORS;
      const sector = distance | 0;
      const start = sectors[sector] as number;
      const place = start + ((sectors[sector + 1] as number) - start) * (distance - sector);
      places[index] = Math.min(place, this.size - 1);
    }
    for (let index = 0; index < count; index++) {
      places[index] = this.#lowerBound(entries[2 * index + 1] as number, places[index] as number);
    }
    for (let index = 0; index < count; index++) {
      const isFound = this.#hasAt(
        places[index] as number,
        entries[2 * index] as number,
        entries[2 * index + 1] as number,
      );
      if (isFound) marks[index] = mark;
    }
  }

  /** Whether the entry stands at `place` or among those behind it with the same high half. */
  #hasAt(place: number, low: number, high: number): boolean {
    const halves = this.#halves;
    for (let at = 2 * place; at < halves.length && halves[at + 1] === high; at += 2) {
      if (halves[at] === low) return true;
    }
    return false;
  }

  /** The first place whose high half is `high` or more, where `guess` is about there. */
  #lowerBound(high: number, guess: number): number {
    const halves = this.#halves;
    let place = guess;
    if ((halves[2 * place + 1] as number) < high) {
      const end = Math.min(place + WALK_MAX, this.size);
      while (place < end && (halves[2 * place + 1] as number) < high) place++;
      return place < end ? place : this.#search(high, end, this.size);
    }
    const end = Math.max(place - WALK_MAX, 0);
    while (place > end && (halves[2 * place - 1] as number) >= high) place--;
    return place > end ? place : this.#search(high, 0, end);
  }

  /** Binary search between `from` and `to`, where all before are less than `high` and all after are not. */
  #search(high: number, from: number, to: number): number {
    let low = from;
    let end = to;
    while (low < end) {
      const middle = (low + end) >>> 1;
      if ((this.#halves[2 * middle + 1] as number) < high) low = middle + 1;
      else end = middle;
    }
    return low;
  }
}
