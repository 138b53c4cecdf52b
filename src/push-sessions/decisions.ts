import { countOf, markHeld, wordsWith } from "../bytes/marks.ts";

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

/** A request as the session of its push knows it. */
export interface SessionRequest {
  /** One for each candidate, in the order of the request. */
  contents: ByteArray;
  fingerprint: string;
  /** Resources of the request, candidates or not. */
  count: number;
}

/** What one request decided: MATCH or NO_MATCH for each content. */
export interface Batch {
  /** Milliseconds since the epoch. */
  decidedAt: number;
  contents: ByteArray;
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
  readonly isIdentified: boolean;
  readonly #state: SessionState;
  #sorted: { mark: number; contents: BigUint64Array }[] | undefined;

  constructor(state: SessionState) {
    this.isIdentified = state.isIdentified;
    this.#state = state;
  }

  /** How each of the contents was decided. Of two decisions, no match wins. */
  of(contents: Uint8Array): ByteArray {
    const { batches, isFull } = this.#state;
    const marks = new Uint8Array(contents.length / CONTENT_BYTES);
    if (isFull) marks.fill(NO_MATCH);
    this.#sorted ??= [MATCH, NO_MATCH].flatMap((mark) =>
      batches.map((batch) => ({ mark, contents: wordsWith(mark, batch.contents, batch.marks) })),
    );
    for (const { mark, contents: set } of this.#sorted) markHeld(set, contents, marks, mark);
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
    const decided = this.of(contents);
    const isOld = ({ decidedAt }: Batch) => decidedAt < now - MATCH_FINAL_MS;
    const old = new Decisions({ ...NO_SESSION, batches: this.#state.batches.filter(isOld) });
    const mayYield = !this.isIdentified && found.includes(REMOVED);
    const oldMarks = mayYield ? old.of(contents) : decided;
    for (let index = 0; index < decided.length; index++) {
      const mark = found[index];
      if (decided[index] === UNDECIDED) decided[index] = mark === MATCH ? MATCH : NO_MATCH;
      else if (this.isIdentified) continue;
      else if (mark === REJECTED || (mark === REMOVED && oldMarks[index] === MATCH))
        decided[index] = NO_MATCH;
    }
    return decided;
  }
}
