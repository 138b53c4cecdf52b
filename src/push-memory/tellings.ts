import { markHeld } from "../bytes/workspace.ts";

/** What was told of a content. */
export const UNTOLD = 0;
export const TOLD_YES = 1;
export const TOLD_NO = 2;

/** What is told is remembered for five minutes at least … */
const REMEMBERED_MS = 5 * 60 * 1000;
/** … and is not stored anew within a minute, for pushes of one app that come close together. */
const STORED_ANEW_MS = 60 * 1000;
/** How long a telling is kept. */
export const STORED_MS = REMEMBERED_MS + STORED_ANEW_MS;
/** 3.6 MB of the 4 that a push memory may hold. */
const CONTENTS_MAX = 450_000;
const CONTENT_BYTES = 8;

/** What one request was told, as it is stored: contents, ascending. */
export interface Telling {
  /** ms since the epoch. */
  at: number;
  yes: BigUint64Array<ArrayBuffer>;
  no: BigUint64Array<ArrayBuffer>;
}

/**
 * What a caller's requests were told, by content. A content is 8 bytes of its SHA-1: who makes two files that share them
 * harms no pushes but of these.
 */
export class Tellings {
  #tellings: Telling[] = [];
  /** Until then a content that is not remembered may have been answered, and was answered no. */
  unstoredUntil: number;

  constructor(stored: readonly Telling[] = [], unstoredUntil = 0) {
    for (const telling of stored) this.#take(telling);
    this.unstoredUntil = unstoredUntil;
  }

  get isEmpty(): boolean {
    return this.#tellings.length === 0;
  }

  /** What was told of each content; in doubt, no. */
  recall(contents: Uint8Array, now: number): Uint8Array {
    return this.#recall(contents, now).told;
  }

  /**
   * Settles what a request is told of each content: what was told before, else what is proposed, which is remembered.
   *
   * @param proposed of each content `TOLD_YES` or `TOLD_NO`
   * @returns what it is to be told, and what is to be stored of it, if anything
   */
  settle(
    contents: Uint8Array,
    proposed: Uint8Array,
    now: number,
  ): { settled: Uint8Array; stored: Telling | undefined } {
    const { told: before, toldLately } = this.#recall(contents, now);
    const settled = before.map((mark, index) => (mark === UNTOLD ? (proposed[index] as number) : mark));
    const stored = telling(contents, now, (index) =>
      toldLately[index] === UNTOLD ? (settled[index] as number) : UNTOLD,
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
  deny(contents: Uint8Array, now: number): Telling {
    const denied = telling(contents, now, () => TOLD_NO);
    this.#take(denied);
    return denied;
  }

  forget(): void {
    this.#tellings = [];
    this.unstoredUntil = 0;
  }

  /** What was told of each content at all, and within the time in which it is not stored anew. */
  #recall(contents: Uint8Array, now: number): { told: Uint8Array; toldLately: Uint8Array } {
    this.#tellings = this.#tellings.filter(({ at }) => now - at <= STORED_MS);
    const { late = [], early = [] } = Object.groupBy(this.#tellings, ({ at }) =>
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
    return { told: told.map((mark) => (mark === UNTOLD ? TOLD_NO : mark)), toldLately };
  }

  #take(telling: Telling): void {
    this.#tellings.push(telling);
  }

  #count(): number {
    return this.#tellings.reduce((sum, { yes, no }) => sum + yes.length + no.length, 0);
  }
}

/** Contents with what `toldOf` says of each, sorted and each once. */
function telling(contents: Uint8Array, at: number, toldOf: (index: number) => number): Telling {
  // As halves, for whole words of 64 bits are objects.
  const halves = new Uint32Array(contents.slice().buffer);
  const told = (mark: number) => {
    const some = new Uint32Array(halves.length);
    let length = 0;
    for (let index = 0; 2 * index < halves.length; index++) {
      if (toldOf(index) !== mark) continue;
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
  };
  return { at, yes: told(TOLD_YES), no: told(TOLD_NO) };
}
