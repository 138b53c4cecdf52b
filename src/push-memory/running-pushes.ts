import { markHeld } from "../bytes/marks.ts";
import { CONTENT_BYTES, merged, STORED_MS, type Telling, wordsOf } from "./tellings.ts";

/** Together with what is told 3.9 MB of the 4 that a push memory may hold. */
const RELIED_MAX = 150_000;
/** A push whose end was seen, as far as anybody can tell, may still be running for so long. */
export const RUNNING_MS = 60 * 1000;
/** Of one run; more are cut in two. */
const QUESTIONS_MAX = 1_000;

/** Requests of 5,000 that came one after the other, of one push as far as anybody can tell. */
interface Run {
  /** Digests of what they asked, the first one first; none where the object has left memory since. */
  questions: Set<string>;
  /** Contents that they were told yes of, ascending. */
  yes: BigUint64Array<ArrayBuffer>;
  /** Equal pushes beside the first: what it asked first came again. */
  beside: number;
  /** When the last of it was asked or told, in ms since the epoch. */
  at: number;
}

/**
 * What a caller's pushes rely on: a yes that a push was told stands for its other requests even if it is denied, or a file
 * would be lost. No request says of which push it is, so what looks like the end of a push may be another, smaller one. A
 * push has ended when it is tried again: when one of its questions comes again, and a request of fewer than 5,000 came since.
 */
export class RunningPushes {
  #open = newRun();
  #ended: Run[] = [];
  /** There was no room for all: until then any yes may be relied on; ms since the epoch. */
  #fullUntil = 0;

  /**
   * @param stored what was told before the object left memory, as it does when nobody asks for some seconds
   * @param begunAt when the first request of a push came whose end has not been seen, in ms since the epoch; 0 where
   *   there is none
   */
  constructor(stored: readonly Telling[], begunAt: number) {
    const isOfOpen = ({ at }: Telling) => begunAt > 0 && at >= begunAt;
    const runOf = (tellings: readonly Telling[]): Run => {
      const at = Math.max(0, ...tellings.map((one) => one.at));
      const yes = merged(tellings.map((one) => one.yes));
      if (yes.length <= RELIED_MAX) return { ...newRun(), yes, at };
      this.#fullUntil = Math.max(this.#fullUntil, at + RUNNING_MS);
      return { ...newRun(), at };
    };
    this.#open = runOf(stored.filter(isOfOpen));
    this.#ended = [runOf(stored.filter((one) => !isOfOpen(one)))];
  }

  /**
   * A request of 5,000 asks.
   *
   * @param isAgain whether an earlier push has asked the same within the last minutes
   */
  begin(question: string, isAgain: boolean, now: number): void {
    const isOver = ({ questions }: Run) => (questions.size === 0 ? isAgain : questions.has(question));
    this.#ended = this.#ended.filter((run) => !isOver(run));
    this.dropOld(now);
    if (this.#open.questions.size >= QUESTIONS_MAX) this.#close();
    const [first] = this.#open.questions;
    if (question === first) this.#open.beside += 1;
    this.#open.questions.add(question);
    this.#open.at = now;
  }

  /** @param yes contents that a request of 5,000 is told yes of, ascending */
  rely(yes: BigUint64Array<ArrayBuffer>, now: number): void {
    // Other runs may have told the same: each keeps it for itself, for each may end before the others.
    const contents = new Uint8Array(yes.buffer, yes.byteOffset, yes.byteLength);
    const marks = new Uint8Array(yes.length);
    markHeld(this.#open.yes, contents, marks, 1);
    const news = marks.includes(1) ? wordsOf(contents, marks, 0) : yes;
    if (this.#count() + news.length > RELIED_MAX) this.#fullUntil = now + RUNNING_MS;
    else this.#open.yes = merged([this.#open.yes, news]);
    this.#open.at = now;
  }

  /**
   * A request of fewer asks: that may be the end of a push.
   *
   * @returns whether no push is left whose end has not been seen
   */
  end(): boolean {
    if (this.#open.beside > 0) {
      this.#open.beside -= 1;
      return false;
    }
    this.#close();
    return true;
  }

  /** Of each content 1 where a yes must stand. */
  relied(contents: Uint8Array, now: number): Uint8Array {
    this.dropOld(now);
    const marks = new Uint8Array(contents.length / CONTENT_BYTES);
    if (now < this.#fullUntil) return marks.fill(1);
    for (const { yes } of [this.#open, ...this.#ended]) markHeld(yes, contents, marks, 1);
    return marks;
  }

  /** Nobody relies any more on what was told so long ago. */
  dropOld(now: number): void {
    this.#ended = this.#ended.filter(({ at }) => now - at < RUNNING_MS);
    if (now - this.#open.at >= STORED_MS) this.#open = newRun();
  }

  forget(): void {
    this.#open = newRun();
    this.#ended = [];
    this.#fullUntil = 0;
  }

  #close(): void {
    if (this.#open.at > 0) this.#ended.push(this.#open);
    this.#open = newRun();
  }

  #count(): number {
    return this.#ended.reduce((sum, { yes }) => sum + yes.length, this.#open.yes.length);
  }
}

function newRun(): Run {
  return { questions: new Set(), yes: new BigUint64Array(), beside: 0, at: 0 };
}
