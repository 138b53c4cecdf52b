import { markMembers, wordsWith } from "../bytes/marks.ts";
import { MATCH_FINAL_MS } from "../time/time-guarantees.ts";

/** The mark of a content, one byte: a decision, or the result of a look-up. */
export const UNDECIDED = 0;
export const MATCH = 1;
export const NO_MATCH = 2;
/** Result only: the Cloud Controller rejects the match. */
export const REJECTED = 3;
/** Result only: the delta has a tombstone of the file. */
export const REMOVED = 4;

/** A content is a SHA-1 folded to 8 bytes. Only a deliberate collision gives two files one content, and it harms only its own push. */
export const CONTENT_BYTES = 8;

type ByteArray = Uint8Array<ArrayBuffer>;

/** The data of a request for its push session. */
export interface SessionRequest {
  /** One for each candidate, in the order of the request. */
  contents: ByteArray;
  fingerprint: string;
  /** Resources of the request, candidates or not. */
  count: number;
}

/** The decisions of one request: MATCH or NO_MATCH for each content. */
export interface Batch {
  /** Milliseconds since the epoch. */
  decidedAt: number;
  contents: ByteArray;
  marks: ByteArray;
}

/** A session as the object returns it. */
export interface SessionState {
  isIdentified: boolean;
  /** Whether the session has no room for more decisions: a content without one is no match. */
  isFull: boolean;
  batches: Batch[];
}

export const NO_SESSION: SessionState = { isIdentified: true, isFull: false, batches: [] };

export interface Decided {
  /** MATCH or NO_MATCH for each content. */
  decisions: ByteArray;
  /** How many of the contents had a decision already. */
  decidedEarlier: number;
}

/** The decisions of a session. They are sorted at the first use, because most sessions have none. */
export class Decisions {
  readonly isIdentified: boolean;
  readonly #state: SessionState;
  #sorted: { mark: number; contents: BigUint64Array }[] | undefined;

  constructor(state: SessionState) {
    this.isIdentified = state.isIdentified;
    this.#state = state;
  }

  /** The decision for each content, or UNDECIDED. If requests decided differently, no match wins. */
  marksFor(contents: Uint8Array): ByteArray {
    const { batches } = this.#state;
    const marks = new Uint8Array(contents.length / CONTENT_BYTES);
    this.#sorted ??= [MATCH, NO_MATCH].flatMap((mark) =>
      batches.map((batch) => ({ mark, contents: wordsWith(mark, batch.contents, batch.marks) })),
    );
    for (const { mark, contents: members } of this.#sorted) markMembers(members, contents, marks, mark);
    return marks;
  }

  /**
   * Decides the contents of a request. The first decision for a content is final, with one exception: in an unidentified session a
   * match becomes "no match" if the Cloud Controller rejects it, or if it is old and the file was removed.
   *
   * @param found a mark for each content
   */
  resolve(contents: Uint8Array, found: Uint8Array, now: number): Decided {
    const decisions = this.marksFor(contents);
    const isOld = ({ decidedAt }: Batch) => decidedAt < now - MATCH_FINAL_MS;
    const old = found.includes(REMOVED) ? this.#state.batches.filter(isOld) : [];
    const oldMarks = new Decisions({ ...NO_SESSION, batches: old }).marksFor(contents);
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
