import { markMembers, wordsWith } from "../bytes/marks.ts";
import { MATCH_FINAL_MS } from "../time/time-guarantees.ts";

/** Marks of contents, one byte each. What was decided for a content: */
export const UNDECIDED = 0;
export const MATCH = 1;
export const NO_MATCH = 2;
/** What a look-up found: MATCH, NO_MATCH, a match that the Cloud Controller rejects, or a file that the delta says was removed. */
export const REJECTED = 3;
export const REMOVED = 4;

/** A content is a SHA-1, folded to 8 bytes. Two files of one content are possible, but only on purpose, and harm only their own pushes. */
export const CONTENT_BYTES = 8;

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

export interface Decided {
  /** MATCH or NO_MATCH for each content. */
  decisions: ByteArray;
  /** How many of the contents earlier requests had decided. */
  decidedEarlier: number;
}

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
    const { batches } = this.#state;
    const marks = new Uint8Array(contents.length / CONTENT_BYTES);
    this.#sorted ??= [MATCH, NO_MATCH].flatMap((mark) =>
      batches.map((batch) => ({ mark, contents: wordsWith(mark, batch.contents, batch.marks) })),
    );
    for (const { mark, contents: set } of this.#sorted) markMembers(set, contents, marks, mark);
    return marks;
  }

  /**
   * The decisions for a request. The first decision of a content is final. Only in an unidentified session may a match become
   * "no match": if the Cloud Controller rejects it, or if it is old and the file was removed.
   *
   * @param found a mark for each content
   */
  resolve(contents: Uint8Array, found: Uint8Array, now: number): Decided {
    const decisions = this.of(contents);
    const isOld = ({ decidedAt }: Batch) => decidedAt < now - MATCH_FINAL_MS;
    const old = found.includes(REMOVED) ? this.#state.batches.filter(isOld) : [];
    const oldMarks = new Decisions({ ...NO_SESSION, batches: old }).of(contents);
    let decidedEarlier = 0;
    for (let index = 0; index < decisions.length; index++) {
      const mark = found[index];
      if (decisions[index] === UNDECIDED) {
        decisions[index] = mark === MATCH && !this.#state.isFull ? MATCH : NO_MATCH;
        continue;
      }
      decidedEarlier += 1;
      const isLost = mark === REJECTED || (mark === REMOVED && oldMarks[index] === MATCH);
      if (isLost && !this.isIdentified) decisions[index] = NO_MATCH;
    }
    return { decisions, decidedEarlier };
  }
}
