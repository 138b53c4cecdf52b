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
 * @param counts of matches that contradict the catalog, or agree with it. An isolate also reports files that the catalog
 * does not have: it has an older manifest, or looked up a whole app during a suspension that has ended since
 * @returns `isSuspending`: whether this report suspends the cache. `areCredible`: whether the rejected
 * resources were removed. A Cloud Controller whose own matching is off rejects everything and must not empty
 * the catalog: during a suspension its rejections count only once it has matched a resource
 */
export function judgeRejections(
  draft: State,
  { verified, rejected }: Record<"verified" | "rejected", number>,
  now: number,
): { isSuspending: boolean; areCredible: boolean } {
  const hasMatched = verified > rejected;
  const { suspension } = draft;
  if (suspension && now < suspension.until) {
    suspension.hasMatched ||= hasMatched;
    return { isSuspending: false, areCredible: suspension.hasMatched };
  }
  const before = draft.rejections;
  const isRecent = before !== null && now - before.since < SUSPENDED_MS;
  const sum = isRecent ? before : { since: now, verified: 0, rejected: 0 };
  sum.verified += verified;
  sum.rejected += rejected;
  const isSuspending = sum.verified >= VERIFIED_MIN && sum.rejected >= REJECTED_SHARE * sum.verified;
  draft.rejections = isSuspending ? null : sum;
  if (isSuspending) draft.suspension = { from: now, until: now + SUSPENDED_MS, hasMatched, removed: 0 };
  return { isSuspending, areCredible: hasMatched || !isSuspending };
}

/** Ends the suspension of a catalog that was emptied: it protects from stale matches, and an empty catalog has none. */
export function endSuspension(draft: State): void {
  draft.suspension = null;
  draft.rejections = null;
}

/** Records that entries were reported as removed: the operator is repairing the cache. */
export function recordRepair({ suspension }: State, removed: number): void {
  if (suspension) suspension.removed += removed;
}

/** How many entries were reported as removed since the suspension began; 0 if the cache is not suspended. */
export function removedSinceSuspension(state: StoredState, now: number): number {
  return suspendedUntil(state, now) === null ? 0 : (state.suspension?.removed ?? 0);
}

/** Records that the Cloud Controller has matched a resource as of a time: its own matching is on. */
export function recordMatch({ suspension }: State, asOf: number): void {
  if (suspension && asOf >= suspension.from) suspension.hasMatched = true;
}
