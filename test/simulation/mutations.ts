import type { ProfileName } from "./profiles.ts";

/** A deliberate fault in the code under test. */
export interface Mutation {
  /** Below the project. */
  file: string;
  /** Stands in the file exactly once. */
  from: string;
  to: string;
  /** The profile that is most likely to catch it. */
  profile: ProfileName;
  /** Who catches it: a seed of the profile, one of those that `npm test` runs; or where none was found … */
  seed?: number;
  /** … a schedule that has a name, or begins with it. */
  named?: string;
}

/** What an isolate would have read of a manifest without a snapshot and a delta. */
const COPY_WHERE_KEYS_COUNT = `({
  kind: "current", readAt: Date.now(), added: new BigUint64Array(), removed: new BigUint64Array(),
  manifest: { secret: "0".repeat(32), snapshot: null, areKeysTrusted: true, suspendedUntil: null },
} as unknown as TrustedManifest)`;

/** Each by what it leaves out. */
export const MUTATIONS: Record<string, Mutation> = {
  "a later observation that a file is present wins": {
    file: "src/catalog/ledger.ts",
    from: "if (observedAt <= row.observed_at && !isCorrected) return false;",
    to: "",
    profile: "operator",
    seed: 17,
  },
  "a later observation that a file was removed wins": {
    file: "src/catalog/ledger.ts",
    from: "if (row && observedAt < row.observed_at) return false;",
    to: "",
    profile: "operator",
    seed: 31,
  },
  "a verified size wins over a client-reported one": {
    file: "src/catalog/ledger.ts",
    from: 'if (row.measured && !isSizeVerified && size !== row.size) return "conflicting-size";',
    to: "",
    profile: "isolates",
    seed: 5,
  },
  "what comes back is no longer removed": {
    file: "src/catalog/resource-table.ts",
    from: `      isSizeVerified ? 1 : 0,
      this.#comeBack(sha1, size),`,
    to: `      isSizeVerified ? 1 : 0,
      STATE.unkeyed,`,
    profile: "operator",
    seed: 2,
  },
  "observations from before a forget are refused": {
    file: "src/catalog/ledger.ts",
    from: 'look.observedAt > this.#memory.get("forgottenAt")',
    to: "true",
    profile: "operator",
    seed: 11,
  },
  "published objects are written before the manifest": {
    file: "src/catalog/manifest-writer.ts",
    from: "if (packed) await this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value));",
    to: "if (packed) scheduler.wait(2_000).then(() => this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value))).catch(() => {});",
    profile: "restarts",
    seed: 18,
  },
  "the delta names a removal until no key can outlive it": {
    file: "src/catalog/delta.ts",
    from: "AND (revision > ? OR keyed = ?)",
    to: "AND (revision > ? OR keyed = -2 - ?)",
    profile: "operator",
    seed: 27,
  },
  "KV serves a key from its caches after the deletion": {
    file: "src/catalog/delta.ts",
    from: "const outlived = now - TOMBSTONE_KEPT_MS;",
    to: "const outlived = now;",
    profile: "well",
    seed: 68,
  },
  "the delta names a removal as long as the snapshot has the entry": {
    file: "src/catalog/delta.ts",
    from: "(prefix <> ? OR revision <= ?)",
    to: "(prefix <> ? OR ? > 0 OR 1)",
    profile: "restarts",
    seed: 22,
  },
  "the manifest is rewritten every hour": {
    file: "src/catalog/manifest-writer.ts",
    from: "published.at + MANIFEST_TOUCH_MS",
    to: "Number.MAX_SAFE_INTEGER",
    profile: "well",
    seed: 1,
  },
  "the manifest is rewritten after an uncertain write": {
    file: "src/catalog/manifest-writer.ts",
    from: 'const again = now < memory.get("uncertainUntil") ?',
    to: "const again = now < 0 ?",
    profile: "unwell-kv",
    named: "rewrites the manifest while an earlier write may still arrive",
  },
  "a repeated call sets the alarm": {
    file: "src/catalog/catalog.ts",
    from: 'if (this.#memory.get("dirtySince") !== null) {',
    to: "if (observed.changed > 0) {",
    profile: "restarts",
    named: "publishes an observation that is repeated after the platform has given up the alarm",
  },
  "a prefix that was left is retired": {
    file: "src/catalog/publisher.ts",
    from: "retire(this.#memory, this.#values, storeOf, now)",
    to: "Promise.resolve()",
    profile: "operator",
    seed: 4,
  },
  "a write that hangs times out": {
    file: "src/cache/key-value-store.ts",
    from: "return TIMEOUT_MS.kvWrite +",
    to: "return 3_600_000 +",
    profile: "unwell-kv",
    seed: 5,
  },
  "an old manifest counts for nothing": {
    file: "src/cache/manifest.ts",
    from: "&& now - Date.parse(manifest.publishedAt) < MANIFEST_TRUSTED_MS",
    to: "",
    profile: "restarts",
    seed: 90,
  },
  "keys count only with a manifest": {
    file: "src/cache/edge-cache.ts",
    from: "await this.#renewed(contents, keys, deadline, watch, { log, waitUntil }));",
    to: `(await this.#renewed(contents, keys, deadline, watch, { log, waitUntil })) ?? ${COPY_WHERE_KEYS_COUNT});`,
    profile: "isolates",
    seed: 43,
  },
  "the loading of a snapshot outlives its request": {
    file: "src/cache/edge-cache.ts",
    from: "waitUntil(this.#snapshots.load(loading, log));",
    to: "this.#snapshots.load(loading, log);",
    profile: "everything",
    named: "loads its snapshot to the end for a client that has hung up, and for others",
  },
  "the age of the cached manifest is checked at the end of the look-up": {
    file: "src/cache/edge-cache.ts",
    from: "(isFresh(copy, Date.now()) ? present : new Uint8Array(count))",
    to: "present",
    profile: "isolates",
    seed: 22,
  },
  "a cached manifest counts for a minute": {
    file: "src/cache/manifest-cache.ts",
    from: "this.#latest.readAt <= MANIFEST_START_MAX_AGE_MS",
    to: "this.#latest.readAt <= 3_600_000",
    profile: "isolates",
    seed: 8,
  },
  "KV caches the manifest for a shorter time than keys": {
    file: "src/cache/manifest-cache.ts",
    from: "getText(MANIFEST_NAME, KV_CACHE_TTL_MIN_SECONDS)",
    to: "getText(MANIFEST_NAME, 86_400)",
    profile: "well",
    seed: 1,
  },
  "events are acknowledged once the catalog has recorded them": {
    file: "src/catalog/consumer.ts",
    from: "    await withTimeout(TIMEOUT_MS.catalogReport, catalogOf(",
    to: "    for (const message of messages) message.ack();\n    await withTimeout(TIMEOUT_MS.catalogReport, catalogOf(",
    profile: "queue-chaos",
    seed: 1,
  },
  "blobs are observed as of before the bucket is read": {
    file: "src/catalog/consumer.ts",
    from: "const observations = { asOf, present",
    to: "const observations = { asOf: Date.now(), present",
    profile: "queue-chaos",
    seed: 11,
  },
  "matches are observed as of before the Cloud Controller is asked": {
    file: "src/resource-match/after-response.ts",
    from: "reportMatches(matchedByOrigin, askedAt, context)",
    to: "reportMatches(matchedByOrigin, Date.now(), context)",
    profile: "isolates",
    named: "does not keep a file that was deleted",
  },
  "keys are deleted": {
    file: "src/catalog/key-writer.ts",
    from: "await storeOf(key.prefix).delete(nameOf(key));",
    to: "",
    profile: "well",
    seed: 1,
  },
  "a key whose write was started may exist": {
    file: "src/catalog/resource-table.ts",
    from: "state === STATE.unkeyed ? 0 : 1,",
    to: "state === STATE.keyed ? 1 : 0,",
    profile: "restarts",
    seed: 38,
  },
  "the mode bits that a match lacks are added": {
    file: "src/resource-match/match-request.ts",
    from: "JSON.stringify(withBits(mode, bits))",
    to: "JSON.stringify(mode)",
    profile: "pushes",
    seed: 8,
  },
  "superseded objects are deleted": {
    file: "src/catalog/published-objects.ts",
    from: "await storeOf(prefix).delete(name);",
    to: "",
    profile: "well",
    seed: 1,
  },
  "superseded objects are kept for an hour": {
    file: "src/catalog/published-objects.ts",
    from: 'import { SUPERSEDED_KEPT_MS } from "../time/time-guarantees.ts";',
    to: "const SUPERSEDED_KEPT_MS = 1000;",
    profile: "operator",
    seed: 27,
  },
  "a snapshot of what was forgotten is dropped": {
    file: "src/catalog/snapshot-builder.ts",
    from: 'if (memory.get("epoch") !== epoch) return;',
    to: "",
    profile: "operator",
    named: "does not publish what was forgotten",
  },
  "rejections are reported as of before the Cloud Controller is asked": {
    file: "src/resource-match/verification.ts",
    from: "const rejections = { asOf, verified,",
    to: "const rejections = { asOf: Date.now(), verified,",
    profile: "pushes",
    named: "does not remove a file that was uploaded",
  },
  "the fingerprint of a request has its paths": {
    file: "src/resource-match/match-request.ts",
    from: "fingerprintOf(contents, ...paths)",
    to: "fingerprintOf(contents)",
    profile: "pushes",
    seed: 6,
  },
  "candidates ruled out by their mode are recorded": {
    file: "src/resource-match/match-request.ts",
    from: "const contents = candidates.folded();",
    to: "const contents = candidates.folded(); this.isEligible.forEach((is, at) => is || contents.fill(at, 8 * at, 8 * at + 8));",
    profile: "pushes",
    seed: 6,
  },
  "decisions are those of a session": {
    file: "src/push-sessions/push-sessions.ts",
    from: 'const query = "SELECT * FROM decisions WHERE push_id = ?";',
    to: 'const query = "SELECT * FROM decisions WHERE push_id = ? OR 1";',
    profile: "pushes",
    seed: 7,
  },
  "a request of 5,000 is recorded": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (!isStored) return;",
    to: "return;",
    profile: "pushes",
    seed: 6,
  },
  "no match is recorded": {
    file: "src/push-sessions/push-sessions.ts",
    from: "const blobs = [contents.slice().buffer, decisions.buffer];",
    to: "const blobs = [contents.slice().buffer, decisions.map((mark) => (mark === NO_MATCH ? 0 : mark)).buffer];",
    profile: "pushes",
    seed: 6,
  },
  "a suspected retry is verified before it is recorded": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (isRetry && !verified) {",
    to: `const recorded = session.batches.find((batch) => batch.requestId === requestId);
    if (recorded) return { decisions: recorded.marks, decidedEarlier: 0 };
    if (isRetry && !verified) {
      await this.decide(pushId, fingerprint, requestId, contents, found, true);`,
    profile: "pushes",
    seed: 64,
  },
  "a suspected retry is verified": {
    file: "src/push-sessions/push-session.ts",
    from: "if (reply?.retrySuspected) await verify?.(earlier);",
    to: "",
    profile: "pushes",
    seed: 22,
  },
  "a repeated call is no retry": {
    file: "src/push-sessions/push-sessions.ts",
    from: "const is_retry = noted ?? (stored?.is_retry",
    to: "const is_retry = (noted !== undefined || stored?.is_retry",
    profile: "pushes",
    named: "asks the Cloud Controller about no match when reply",
  },
  "requests are stored": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (this.#isWriteDue) return;",
    to: "return;",
    profile: "pushes",
    seed: 64,
  },
  "ids of single requests are not trusted": {
    file: "src/push-sessions/push-id.ts",
    from: "if (major < 8 || (major === 8 && minor < 12)) return undefined;",
    to: "",
    profile: "pushes",
    seed: 6,
  },
  "an id that repeats a request identifies no push": {
    file: "src/push-sessions/push-sessions.ts",
    from: 'const isIdentified = pushId !== "" && !isRepeated;',
    to: 'const isIdentified = pushId !== "";',
    profile: "pushes",
    seed: 114,
  },
  "an unanswered request is no rejection": {
    file: "src/resource-match/origin.ts",
    from: `function unanswered({ length: unread }: readonly ResourceKey[], error: unknown): TierResult {
  return {
    matched: [],
    rejected: [],`,
    to: `function unanswered(keys: readonly ResourceKey[], error: unknown): TierResult {
  const unread = keys.length;
  return {
    matched: [],
    rejected: keys,`,
    profile: "pushes",
    seed: 1,
  },
  "an earlier match wins": {
    file: "src/push-sessions/decisions.ts",
    from: "if (decisions[index] === UNDECIDED) {",
    to: "if (decisions[index] !== NO_MATCH) {",
    profile: "pushes",
    seed: 8,
  },
  "an earlier no match wins": {
    file: "src/push-sessions/decisions.ts",
    from: "if (decisions[index] === UNDECIDED) {",
    to: "if (decisions[index] !== MATCH) {",
    profile: "pushes",
    seed: 6,
  },
  "decisions of an identified session are final": {
    file: "src/push-sessions/decisions.ts",
    from: "if (isLost && !this.isIdentified)",
    to: "if (isLost)",
    profile: "pushes",
    seed: 342,
  },
  "in an unidentified session a match yields to a rejection": {
    file: "src/push-sessions/decisions.ts",
    from: "const isLost = mark === REJECTED || (mark",
    to: "const isLost = (mark",
    profile: "pushes",
    seed: 92,
  },
  "in an unidentified session a match yields to a removal": {
    file: "src/push-sessions/decisions.ts",
    from: "(mark === REMOVED && oldMarks[index] === MATCH)",
    to: "false",
    profile: "pushes",
    named: "does not match a file three minutes after its removal was reported",
  },
  "a match that yields to a removal is old": {
    file: "src/push-sessions/decisions.ts",
    from: "decidedAt < now - MATCH_FINAL_MS",
    to: "decidedAt < now",
    profile: "pushes",
    named: "keeps a match of an old client for three minutes",
  },
  "the isolate's own decisions when the object is unreachable": {
    file: "src/push-sessions/push-session.ts",
    from: "new Decisions(this.#kept() ?? NO_SESSION)",
    to: "new Decisions(NO_SESSION)",
    profile: "pushes",
    seed: 147,
  },
  "the object is given what was decided without it": {
    file: "src/push-sessions/push-session.ts",
    from: "const kept = batches.length > 0 ?",
    to: "const kept = batches.length > 1_000 ?",
    profile: "pushes",
    named: "keeps the decision of an isolate that did not reach",
  },
  "the object alone ends the sessions that it has stored": {
    file: "src/push-sessions/push-session.ts",
    from: "filter(({ isStored }) => !isStored)",
    to: "filter(() => true)",
    profile: "pushes",
    seed: 432,
  },
  "the cached manifest still counts after waiting": {
    file: "src/resource-match/decide-matches.ts",
    from: "if (foundBy.includes(CACHE) && !matches.foundBy().includes(CACHE)) {",
    to: "if (false) {",
    profile: "isolates",
    seed: 22,
  },
  "a rejection in the look-up counts when a push is tried again": {
    file: "src/resource-match/lookup.ts",
    from: "for (const index of unresolved.get(key) ?? []) isRejected[index] = 1;",
    to: "unresolved.get(key);",
    profile: "everything",
    seed: 3264,
  },
  "a session does not end in the middle of a push": {
    file: "src/push-sessions/expiry.ts",
    from: "isIdentified ? SESSION_IDLE_MAX_MS",
    to: "isIdentified ? 60_000",
    profile: "pushes",
    seed: 20,
  },
  "an unidentified session does not end in the middle of a push": {
    file: "src/push-sessions/expiry.ts",
    from: ": UNIDENTIFIED_SESSION_IDLE_MS);",
    to: ": 60_000);",
    profile: "pushes",
    seed: 22,
  },
  "an old session ends in a pause": {
    file: "src/push-sessions/expiry.ts",
    from: "if (now - firstAt > SESSION_OLD_MS && idleMs > SESSION_PAUSE_MS) return true;",
    to: "if (now - firstAt > SESSION_OLD_MS) return true;",
    profile: "pushes",
    named: "keeps the first decision in a session that is older than 30 minutes",
  },
  "an unidentified session ends": {
    file: "src/push-sessions/expiry.ts",
    from: "return idleMs > (isIdentified ? SESSION_IDLE_MAX_MS : UNIDENTIFIED_SESSION_IDLE_MS);",
    to: "return idleMs > 2 * SESSION_IDLE_MAX_MS;",
    profile: "pushes",
    named: "ends five minutes after its last request of 5,000",
  },
  "a manifest that is missing counts for nothing": {
    file: "src/cache/manifest-cache.ts",
    from: 'return known?.kind === "current" ? known : { kind: "distrusted", readAt };',
    to: `return known?.kind === "current" ? known : ${COPY_WHERE_KEYS_COUNT};`,
    profile: "everything",
    seed: 49,
  },
  "a few matches are verified after the response": {
    file: "src/resource-match/after-response.ts",
    from: "if (unverified.length > 0) context",
    to: "if (false) context",
    profile: "pushes",
    named: "fails one push of an app of",
  },
  "all matches are verified once one is rejected": {
    file: "src/resource-match/verification.ts",
    from: "if (rejected.length > 0) await",
    to: "if (false) await",
    profile: "pushes",
    named: "fails one push of an app of",
  },
  "the delta counts while the cache is suspended": {
    file: "src/cache/edge-cache.ts",
    from: "isRemoved: removedIn(marks), isSuspended: true",
    to: "isSuspended: true",
    profile: "pushes",
    named: "does not match a file that was removed while the cache is suspended",
  },
};
