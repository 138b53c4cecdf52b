import { Deadline } from "./deadline.ts";

/**
 * How long whatever lies outside the isolate is waited for, in ms. After that it counts as failed: nothing that hangs
 * keeps a request waiting. What a look-up waits for, keys and the Cloud Controller's matches, is under one deadline
 * for all, LOOKUP_DEADLINE_MS. What is passed through has its two ends for that, the client and the Cloud Controller.
 */
export const PATIENCE_MS = {
  /** Every request waits for it, and goes on without it. */
  rateLimiter: 500,
  /** The decisions of a push: without them a file may be lost, which is worse than two seconds. */
  pushSessions: 2_000,
  /** A connection, 1 MB at most. */
  uaaKeys: 5_000,
  /** Behind an answer, which may go on for 30 s in all. */
  catalogTold: 10_000,
  /** 50,000 observations take a second, and may have to wait for others. */
  catalogAsked: 10_000,
  /** Of one blob; the event is retried. */
  poolBucket: 10_000,
  /** Pointer and changes, behind an answer; before one, the deadline of the look-up comes first. */
  copy: 20_000,
  /** A part of 8 MB. */
  snapshotPart: 30_000,
  /** A write that takes longer counts as failed, wherever it is: the next one must not wait for it. */
  kvWrite: 5_000,
};

/**
 * The outcome of `work`, if it comes within `ms`.
 *
 * @throws DeadlineExceeded
 */
export function inTime<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Deadline(ms).race(work);
}
