import { Deadline } from "./deadline.ts";

/**
 * Timeouts for calls that leave the isolate, in ms. A call that takes longer counts as failed, so that nothing that hangs delays a
 * response. Reads of keys and the Cloud Controller's matches share the deadline of the look-up instead, LOOKUP_DEADLINE_MS. A request
 * that is passed through has none: the client and the Cloud Controller have their own.
 */
export const TIMEOUT_MS = {
  /** Every request waits for it, and goes on without it. */
  rateLimiter: 500,
  /** Without the decisions of its push a request may lose a file, which is worse than two seconds. */
  pushSessions: 2_000,
  /** Connecting included; at most 1 MB. */
  uaaKeys: 5_000,
  /** After the response, where `waitUntil` allows 30 s in all. */
  catalogReport: 10_000,
  /** 50,000 observations take a second, and may wait for others. */
  catalogQuery: 10_000,
  /** For one blob. The event is retried. */
  bucketHead: 10_000,
  /** Manifest and delta, after a response. Before one, the deadline of the look-up ends first. */
  manifest: 20_000,
  /** A part of 8 MB. */
  snapshotPart: 30_000,
  /** A write may still land later, but the next one does not wait for it. */
  kvWrite: 5_000,
};

/**
 * The result of `work`, if it comes within `ms`.
 *
 * @throws DeadlineExceeded
 */
export function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Deadline(ms).race(work);
}
