import { countOf, markHeld } from "../bytes/marks.ts";

/** Marks of contents, one byte each. What was decided for a content: */
export const UNDECIDED = 0;
export const MATCH = 1;
export const NO_MATCH = 2;
/** What a look-up found: MATCH, NO_MATCH, a match that the Cloud Controller rejects, or a file that the delta says was removed. */
export const REJECTED = 3;
export const REMOVED = 4;

/** A content is 8 bytes of a SHA-1. Whoever makes two files that share them harms only pushes of these. */
export const CONTENT_BYTES = 8;

/** In an unidentified session a match that is older than this yields to a removal. */
const MATCH_FINAL_MS = 3 * 60 * 1000;

type ByteArray = Uint8Array<ArrayBuffer>;

/** What one request decided. */
export interface Batch {
  /** Milliseconds since the epoch. */
  decidedAt: number;
  contents: ByteArray;
  /** MATCH or NO_MATCH for each. */
  marks: ByteArray;
}

/** A session as it crosses the network. */
export interface SessionState {
  isIdentified: boolean;
  /** Whether there was no room for all decisions: a content that has none is no match. */
  isFull: boolean;
  batches: Batch[];
}

export const NO_SESSION: SessionState = { isIdentified: true, isFull: false, batches: [] };

/** The decisions of a session. They are sorted when they are first needed: usually there are none. */
export class Decisions {
  readonly #state: SessionState;
  #sorted: { matches: BigUint64Array; others: BigUint64Array } | undefined;

  constructor(state: SessionState) {
    this.#state = state;
  }

  get isIdentified(): boolean {
    return this.#state.isIdentified;
  }

  /** How each of the contents was decided. Of two decisions, no match wins. */
  of(contents: Uint8Array): ByteArray {
    const { batches, isFull } = this.#state;
    const marks = new Uint8Array(contents.length / CONTENT_BYTES);
    if (isFull) marks.fill(NO_MATCH);
    if (batches.length === 0) return marks;
    this.#sorted ??= { matches: sorted(batches, MATCH), others: sorted(batches, NO_MATCH) };
    markHeld(this.#sorted.matches, contents, marks, MATCH);
    markHeld(this.#sorted.others, contents, marks, NO_MATCH);
    return marks;
  }

  countOf(contents: Uint8Array): number {
    return contents.length / CONTENT_BYTES - countOf(this.of(contents), UNDECIDED);
  }

  /**
   * The decisions for a request. The first decision of a content is final. Only in an unidentified session may a match become
   * "no match": if the Cloud Controller rejects it, or if it is old and the file was removed.
   *
   * @param found a mark for each content
   * @returns MATCH or NO_MATCH for each
   */
  resolve(contents: Uint8Array, found: Uint8Array, now: number): ByteArray {
    const { isIdentified, batches } = this.#state;
    const decided = this.of(contents);
    const isOld = ({ decidedAt }: Batch) => decidedAt < now - MATCH_FINAL_MS;
    const mayYield = !isIdentified && found.includes(REMOVED);
    const old = mayYield
      ? new Decisions({ ...NO_SESSION, batches: batches.filter(isOld) }).of(contents)
      : decided;
    for (let index = 0; index < decided.length; index++) {
      const mark = found[index];
      if (decided[index] === UNDECIDED) decided[index] = mark === MATCH ? MATCH : NO_MATCH;
      else if (isIdentified) continue;
      else if (mark === REJECTED || (mark === REMOVED && old[index] === MATCH)) decided[index] = NO_MATCH;
    }
    return decided;
  }
}

/** The contents that have a mark, in ascending order. */
function sorted(batches: readonly Batch[], mark: number): BigUint64Array {
  const chosen = batches.map(({ contents, marks }) => only(contents, marks, mark));
  const all = new Uint8Array(chosen.reduce((sum, { length }) => sum + length, 0));
  let length = 0;
  for (const some of chosen) {
    all.set(some, length);
    length += some.length;
  }
  return new BigUint64Array(all.buffer).sort();
}

/** The contents that have a mark, in an array of their own. */
export function only(contents: Uint8Array, marks: Uint8Array, mark: number): ByteArray {
  // As halves: JavaScript makes an object of each 64-bit word.
  const halves = new Uint32Array(contents.slice().buffer);
  const chosen = new Uint32Array(halves.length);
  let length = 0;
  for (let index = 0; index < marks.length; index++) {
    if (marks[index] !== mark) continue;
    chosen[length++] = halves[2 * index] as number;
    chosen[length++] = halves[2 * index + 1] as number;
  }
  return new Uint8Array(chosen.buffer.slice(0, 4 * length));
}
