import { EntrySet } from "../cache/entry-set.ts";

/** What was told of a content. */
export const UNTOLD = 0;
export const TOLD_YES = 1;
export const TOLD_NO = 2;
/** Told yes, as this request has recalled, and not found any more: it stands, even if it is forgotten meanwhile. */
export const TOLD_YES_LOST = 3;

/** What is told is remembered for five minutes at least … */
const REMEMBERED_MS = 5 * 60 * 1000;
/** … and is not stored anew within a minute, for pushes of one app that come close together. */
const STORED_ANEW_MS = 60 * 1000;
/** How long a telling is kept. */
export const STORED_MS = REMEMBERED_MS + STORED_ANEW_MS;
/** 3.6 MB of the 4 that a push memory may hold. */
const CONTENTS_MAX = 450_000;

const NOTHING = new EntrySet(new BigUint64Array());

/** What one request was told, as it is stored: contents, ascending. */
export interface Telling {
  /** ms since the epoch. */
  at: number;
  yes: BigUint64Array<ArrayBuffer>;
  no: BigUint64Array<ArrayBuffer>;
}

/** All that was told within a minute: a hundred pushes are looked up as quickly as one. */
interface Minute {
  /** When the last of it was told, in ms since the epoch. */
  at: number;
  yes: EntrySet;
  no: EntrySet;
}

/**
 * What a caller's requests were told, by content. A content is 8 bytes of its SHA-1: who makes two files that share them
 * harms no pushes but of these.
 */
export class Tellings {
  /** By the minute in which they began, the oldest first. */
  #minutes = new Map<number, Minute>();
  /** Until then a content that is not remembered may have been answered, and was answered no. */
  unstoredUntil: number;
  /** What was told yes since the caller's last push had asked for all of its files: a push that is running relies on it. */
  #relied = NOTHING;

  /** @param endedAt when the last push had asked for all of its files, in ms since the epoch; 0 where nobody knows */
  constructor(stored: readonly Telling[] = [], unstoredUntil = 0, endedAt = 0) {
    for (const telling of stored) {
      this.#take(telling);
      // What was told again within a minute was not stored anew.
      if (telling.at > endedAt - STORED_ANEW_MS) this.#relied = this.#relied.with(telling.yes);
    }
    this.unstoredUntil = unstoredUntil;
  }

  /** Of each content 1 where a yes must stand even if it turns out to be wrong. */
  relied(contents: Uint32Array): Uint8Array {
    const marks = new Uint8Array(contents.length / 2);
    this.#relied.mark(contents, marks, 1);
    return marks;
  }

  /**
   * A push has asked for all of its files.
   *
   * @returns whether one had been told yes of anything
   */
  end(): boolean {
    const hasBegun = this.#relied.size > 0;
    this.#relied = NOTHING;
    return hasBegun;
  }

  /** What was told of each content; in doubt, no. */
  recall(contents: Uint32Array, now: number): Uint8Array {
    this.dropBefore(now - STORED_MS);
    const marks = this.#marks(contents, Number.NEGATIVE_INFINITY);
    return now < this.unstoredUntil ? marks.map((mark) => (mark === UNTOLD ? TOLD_NO : mark)) : marks;
  }

  /**
   * Settles what a request is told of each content: what was told before, else what the look-up has found, which is
   * remembered. A yes that the look-up does not find any more is not remembered for longer, since the pool has lost
   * the content; a no always is: it costs bytes alone, and would lose a file where it became a yes within a push.
   *
   * @param found of each content `TOLD_YES` or `TOLD_NO`, or `UNTOLD` where the look-up has failed
   * @returns what it is to be told, and what is to be stored of it, if anything
   */
  settle(
    contents: Uint32Array,
    found: Uint8Array,
    now: number,
  ): { settled: Uint8Array; stored: Telling | undefined } {
    const before = this.recall(contents, now);
    const settled = before.map((mark, index) => {
      const now = found[index] as number;
      return mark || (now === TOLD_YES_LOST ? TOLD_YES : now) || TOLD_NO;
    });
    this.#rely(contents, settled);
    const fresh = this.#marks(contents, now - STORED_ANEW_MS);
    const isLost = (index: number) => before[index] === TOLD_YES && (found[index] as number) >= TOLD_NO;
    const stored = telling(contents, now, (index) =>
      fresh[index] !== UNTOLD || isLost(index) ? UNTOLD : (settled[index] as number),
    );
    if (stored.yes.length + stored.no.length === 0) return { settled, stored: undefined };
    if (this.#count() + stored.yes.length + stored.no.length <= CONTENTS_MAX) {
      this.#take(stored);
      return { settled, stored };
    }
    // A no that is not remembered must stay one: until then, every content that is not remembered is one.
    this.unstoredUntil = now + STORED_MS;
    return { settled: settled.map((_, index) => before[index] || TOLD_NO), stored: undefined };
  }

  /** Contents of which a yes was wrong: from now on they were told no. */
  deny(contents: Uint32Array, now: number): Telling {
    const denied = telling(contents, now, () => TOLD_NO);
    this.#take(denied);
    return denied;
  }

  /** Forgets what was told until `time`, in ms since the epoch. */
  dropBefore(time: number): void {
    for (const [minute, { at }] of this.#minutes) if (at <= time) this.#minutes.delete(minute);
  }

  forget(): void {
    this.#minutes.clear();
    this.#relied = NOTHING;
    this.unstoredUntil = 0;
  }

  #marks(contents: Uint32Array, since: number): Uint8Array {
    const marks = new Uint8Array(contents.length / 2);
    const minutes = [...this.#minutes.values()].filter(({ at }) => at >= since);
    for (const { yes } of minutes) yes.mark(contents, marks, TOLD_YES);
    // What was denied since was told both.
    for (const { no } of minutes) no.mark(contents, marks, TOLD_NO);
    return marks;
  }

  #rely(contents: Uint32Array, settled: Uint8Array): void {
    const relied = this.relied(contents);
    const { yes } = telling(contents, 0, (index) => (relied[index] ? UNTOLD : (settled[index] as number)));
    const isFull = this.#relied.size + yes.length > CONTENTS_MAX;
    this.#relied = isFull ? new EntrySet(yes) : this.#relied.with(yes);
  }

  #take({ at, yes, no }: Telling): void {
    const key = Math.floor(at / STORED_ANEW_MS);
    const minute = this.#minutes.get(key);
    this.#minutes.set(key, {
      at: Math.max(at, minute?.at ?? 0),
      yes: minute ? minute.yes.with(yes) : new EntrySet(yes),
      no: minute ? minute.no.with(no) : new EntrySet(no),
    });
  }

  #count(): number {
    let count = 0;
    for (const { yes, no } of this.#minutes.values()) count += yes.size + no.size;
    return count;
  }
}

/** Contents with what `toldOf` says of each, sorted and each once. */
function telling(contents: Uint32Array, at: number, toldOf: (index: number) => number): Telling {
  const entries = new BigUint64Array(contents.slice().buffer);
  const told = (mark: number) => {
    const some = entries.filter((_, index) => toldOf(index) === mark).sort();
    return some.filter((entry, index) => index === 0 || entry !== some[index - 1]);
  };
  return { at, yes: told(TOLD_YES), no: told(TOLD_NO) };
}
