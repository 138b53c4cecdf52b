import type { Rejections } from "./catalog-api.ts";
import type { State, StoredState } from "./catalog-storage.ts";

/** The cache is suspended if the Cloud Controller rejects this share of its matches … */
const REJECTED_SHARE = 0.3;
/** … and has verified at least this many in SUSPENDED_MS. */
const VERIFIED_MIN = 10;
const SUSPENDED_MS = 10 * 60 * 1000;

/**
 * A suspension keeps a pool that was wiped, pruned or restored from breaking pushes (R1.6): only the Cloud
 * Controller matches until it ends.
 *
 * @returns ms since the epoch, or null if the cache is not suspended
 */
export function suspendedUntil({ suspension }: StoredState, now: number): number | null {
  return suspension && now < suspension.until ? suspension.until : null;
}

/**
 * Records a report of the Cloud Controller.
 *
 * @returns `isSuspending`: whether this report suspends the cache. `areCredible`: whether the rejected
 * resources were removed. A Cloud Controller whose own matching is off rejects everything and must not empty
 * the catalog: during a suspension its rejections count only once it has matched a resource
 */
export function judgeRejections(
  draft: State,
  { verified, rejected }: Rejections,
  now: number,
): { isSuspending: boolean; areCredible: boolean } {
  const hasMatched = verified > rejected.length;
  const { suspension } = draft;
  if (suspension && now < suspension.until) {
    suspension.hasMatched ||= hasMatched;
    return { isSuspending: false, areCredible: suspension.hasMatched };
  }
  const before = draft.rejections;
  const isRecent = before !== null && now - before.since < SUSPENDED_MS;
  const sum = isRecent ? before : { since: now, verified: 0, rejected: 0 };
  sum.verified += verified;
  sum.rejected += rejected.length;
  const isSuspending = sum.verified >= VERIFIED_MIN && sum.rejected >= REJECTED_SHARE * sum.verified;
  draft.rejections = isSuspending ? null : sum;
  if (isSuspending) draft.suspension = { from: now, until: now + SUSPENDED_MS, hasMatched };
  return { isSuspending, areCredible: hasMatched || !isSuspending };
}

/** Records that the Cloud Controller has matched a resource as of a time: its own matching is on. */
export function recordMatch({ suspension }: State, asOf: number): void {
  if (suspension && asOf >= suspension.from) suspension.hasMatched = true;
}
