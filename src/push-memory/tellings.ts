import { markHeld } from "../bytes/marks.ts";

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
/** With what running pushes rely on, and if all of it is denied, 3.9 MB of the 4 that a push memory may hold. */
const CONTENTS_MAX = 170_000;
export const CONTENT_BYTES = 8;

const NOTHING = new BigUint64Array();

/** Whether anything was told of any content: usually nothing was, and there is nothing to compare. */
export function isAnyTold(marks: Uint8Array): boolean {
  return marks.includes(TOLD_YES) || marks.includes(TOLD_NO);
}

/** What one request was told, as it is stored, or several within a minute: contents, ascending. */
export interface Telling {
  /** When the last of it was told, in ms since the epoch. */
  at: number;
  yes: BigUint64Array<ArrayBuffer>;
  no: BigUint64Array<ArrayBuffer>;
}

/**
 * What a caller's requests were told, by content. A content is 8 bytes of its SHA-1: who makes two files that share them
 * harms no pushes but of these.
 */
export class Tellings {
  /** All that was told within a minute is one, so that a hundred pushes are looked up as quickly as one. */
  #minutes = new Map<number, Telling>();
  /** Until then a content that is not remembered may have been answered, and was answered no. */
  unstoredUntil: number;

  constructor(stored: readonly Telling[] = [], unstoredUntil = 0) {
    for (const telling of stored) this.#take(telling);
    this.unstoredUntil = unstoredUntil;
  }

  /** What was told of each content; in doubt, no. */
  recall(contents: Uint8Array, now: number): Uint8Array {
    return this.#recall(contents, now).told;
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
    contents: Uint8Array,
    found: Uint8Array,
    now: number,
  ): { settled: Uint8Array; stored: Telling | undefined } {
    const { told: before, toldLately } = this.#recall(contents, now);
    const isNew = !isAnyTold(before);
    const isUsual = isNew && !found.includes(UNTOLD) && !found.includes(TOLD_YES_LOST);
    const settled = isUsual
      ? found.slice()
      : before.map((mark, index) => {
          const said = found[index] === TOLD_YES_LOST ? TOLD_YES : (found[index] as number);
          return mark || said || TOLD_NO;
        });
    const isLost = (index: number) => before[index] === TOLD_YES && (found[index] as number) >= TOLD_NO;
    const news = isNew
      ? settled
      : settled.map((mark, index) => (toldLately[index] !== UNTOLD || isLost(index) ? UNTOLD : mark));
    const stored = {
      at: now,
      yes: wordsOf(contents, news, TOLD_YES),
      no: wordsOf(contents, news, TOLD_NO),
    };
    if (stored.yes.length + stored.no.length === 0) return { settled, stored: undefined };
    if (this.#count() + stored.yes.length + stored.no.length <= CONTENTS_MAX) {
      this.#take(stored);
      return { settled, stored };
    }
    // A no that is not remembered must stay one: until then, every content that is not remembered is one.
    this.unstoredUntil = now + STORED_MS;
    return { settled: settled.map((_, index) => before[index] || TOLD_NO), stored: undefined };
  }

  /** Contents of which a yes was wrong: from now on they were told no. @returns what is to be stored of it */
  deny(contents: Uint8Array, now: number): Telling {
    const before = this.recall(contents, now);
    const marks = before.map((mark) => (mark === TOLD_NO ? UNTOLD : TOLD_NO));
    const denied = { at: now, yes: NOTHING, no: wordsOf(contents, marks, TOLD_NO) };
    this.#take(denied);
    return denied;
  }

  /** Forgets what was told until `time`, in ms since the epoch. */
  dropBefore(time: number): void {
    for (const [minute, { at }] of this.#minutes) if (at <= time) this.#minutes.delete(minute);
  }

  forget(): void {
    this.#minutes.clear();
    this.unstoredUntil = 0;
  }

  /** What was told of each content at all, in doubt no, and what within the time in which it is not stored anew. */
  #recall(contents: Uint8Array, now: number): { told: Uint8Array; toldLately: Uint8Array } {
    this.dropBefore(now - STORED_MS);
    const { late = [], early = [] } = Object.groupBy(this.#minutes.values(), ({ at }) =>
      now - at <= STORED_ANEW_MS ? "late" : "early",
    );
    const toldLately = new Uint8Array(contents.length / CONTENT_BYTES);
    for (const { yes } of late) markHeld(yes, contents, toldLately, TOLD_YES);
    const told = toldLately.slice();
    for (const { yes } of early) markHeld(yes, contents, told, TOLD_YES);
    // What was denied since was told both.
    for (const { no } of late) {
      markHeld(no, contents, toldLately, TOLD_NO);
      markHeld(no, contents, told, TOLD_NO);
    }
    for (const { no } of early) markHeld(no, contents, told, TOLD_NO);
    if (now >= this.unstoredUntil) return { told, toldLately };
    return { told: told.map((mark) => mark || TOLD_NO), toldLately };
  }

  #take(telling: Telling): void {
    const key = Math.floor(telling.at / STORED_ANEW_MS);
    const minute = this.#minutes.get(key);
    this.#minutes.set(key, minute ? together(minute, telling) : telling);
  }

  #count(): number {
    let count = 0;
    for (const { yes, no } of this.#minutes.values()) count += yes.length + no.length;
    return count;
  }
}

/** Two tellings as one. */
function together(one: Telling, other: Telling): Telling {
  return {
    at: Math.max(one.at, other.at),
    yes: merged([one.yes, other.yes]),
    no: merged([one.no, other.no]),
  };
}

/** All of the rows in one, ascending. */
export function merged(rows: readonly BigUint64Array<ArrayBuffer>[]): BigUint64Array<ArrayBuffer> {
  const [only = NOTHING, ...others] = rows.filter((row) => row.length > 0);
  if (others.length === 0) return only;
  const all = new BigUint64Array(rows.reduce((sum, { length }) => sum + length, 0));
  let length = 0;
  for (const row of rows) {
    all.set(row, length);
    length += row.length;
  }
  return all.sort();
}

/** The contents with this mark, sorted and each once. */
export function wordsOf(contents: Uint8Array, marks: Uint8Array, mark: number): BigUint64Array<ArrayBuffer> {
  if (!marks.includes(mark)) return NOTHING;
  // As halves, for whole words of 64 bits are objects.
  const halves = new Uint32Array(contents.slice().buffer);
  const some = new Uint32Array(halves.length);
  let length = 0;
  for (let index = 0; 2 * index < halves.length; index++) {
    if (marks[index] !== mark) continue;
    some[length++] = halves[2 * index] as number;
    some[length++] = halves[2 * index + 1] as number;
  }
  new BigUint64Array(some.buffer, 0, length / 2).sort();
  let end = 0;
  for (let from = 0; from < length; from += 2) {
    const isAgain = end > 0 && some[from] === some[end - 2] && some[from + 1] === some[end - 1];
    if (isAgain) continue;
    some[end++] = some[from] as number;
    some[end++] = some[from + 1] as number;
  }
  return new BigUint64Array(some.buffer.slice(0, 4 * end));
}
