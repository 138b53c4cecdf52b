import type { ProfileName } from "./profiles.ts";

/** A deliberate fault in the code under test. */
export interface Mutation {
  /** Relative to the project. */
  file: string;
  /** Occurs in the file exactly once. */
  from: string;
  to: string;
  /** The profile that is most likely to catch it. */
  profile: ProfileName;
  /** The seed of the profile that catches it; `npm test` runs that schedule. */
  seed?: number;
  /** If no seed is known: the start of the title of the named schedule that catches it. */
  named?: string;
}

/** A trusted manifest without a snapshot and a delta: only the keys count. */
const MANIFEST_WITH_TRUSTED_KEYS = `({
  kind: "current", readAt: Date.now(), added: new BigUint64Array(), removed: new BigUint64Array(),
  manifest: { secret: "0".repeat(32), snapshot: null, areKeysTrusted: true, suspendedUntil: null },
} as unknown as TrustedManifest)`;

/** Each is named by the behaviour that it breaks, with the rule of docs/architecture.md that requires it. */
export const MUTATIONS: Record<string, Mutation> = {
  "R1.3: an older observation that a file is present is ignored": {
    file: "src/catalog/ledger.ts",
    from: "if (observedAt <= row.observed_at && !isCorrection) return false;",
    to: "",
    profile: "operator",
    seed: 17,
  },
  "R1.3: an older observation that a file was removed is ignored": {
    file: "src/catalog/ledger.ts",
    from: "if (row && observedAt < row.observed_at) return false;",
    to: "",
    profile: "operator",
    seed: 31,
  },
  "R1.3: a client-reported size does not replace a verified one": {
    file: "src/catalog/ledger.ts",
    from: 'if (row.size_verified && !isSizeVerified && size !== row.size) return "conflicting-size";',
    to: "",
    profile: "isolates",
    seed: 5,
  },
  "R1.3: a resource that is present again is no longer listed as removed": {
    file: "src/catalog/resource-tables.ts",
    from: "      this.#deleteTombstone(prefix, sha1, size),",
    to: "      ROW_STATE.keyMissing,",
    profile: "operator",
    seed: 2,
  },
  "R1.3: observations from before a forget are refused": {
    file: "src/catalog/ledger.ts",
    from: "batch.observedAt > draft.forgottenAt",
    to: "true",
    profile: "operator",
    seed: 11,
  },
  "R1.5: the delta is stored before the manifest that names it": {
    file: "src/catalog/manifest-writer.ts",
    from: "if (name) await this.#objects.write(store, state.prefix, name, pack(name, value));",
    to: "if (name) scheduler.wait(2_000).then(() => this.#objects.write(store, state.prefix, name, pack(name, value))).catch(() => {});",
    profile: "restarts",
    seed: 18,
  },
  "R1.4: the delta lists a removal until the key can no longer be served": {
    file: "src/catalog/manifest-writer.ts",
    from: "(revision > ? OR (has_key = 1 AND ?))",
    to: "(revision > ? OR (has_key = 2 AND ?))",
    profile: "operator",
    seed: 27,
  },
  "R1.4: the delta lists a removal while KV may serve the deleted key from its caches": {
    file: "src/catalog/manifest-writer.ts",
    from: "const expired = now - TOMBSTONE_KEPT_MS;",
    to: "const expired = now;",
    profile: "well",
    seed: 68,
  },
  "R1.4: the delta lists a removal while the snapshot has the entry": {
    file: "src/catalog/manifest-writer.ts",
    from: "(prefix <> ? OR revision <= ?)",
    to: "(prefix <> ? OR ? > 0 OR 1)",
    profile: "restarts",
    seed: 22,
  },
  "R1.2: the manifest is rewritten every hour": {
    file: "src/catalog/manifest-writer.ts",
    from: "published.at + MANIFEST_TOUCH_MS",
    to: "Number.MAX_SAFE_INTEGER",
    profile: "well",
    seed: 1,
  },
  "R1.5: the manifest is rewritten after an uncertain write": {
    file: "src/catalog/manifest-writer.ts",
    from: "const isLateWritePossible = uncertainUntil !== null && now < uncertainUntil;",
    to: "const isLateWritePossible = uncertainUntil !== null && now < 0;",
    profile: "unwell-kv",
    named: "rewrites the manifest while an earlier write may still arrive",
  },
  "R1.1: a repeated observation sets the alarm": {
    file: "src/catalog/catalog.ts",
    from: "if (this.#state.current.dirtySince !== null) {",
    to: "if (observed.changed > 0) {",
    profile: "restarts",
    named: "publishes an observation that is repeated after the platform has given up the alarm",
  },
  "R1.1: a former KEY_PREFIX is retired": {
    file: "src/catalog/publisher.ts",
    from: "this.#manifest.retireFormerPrefixes(now)",
    to: "Promise.resolve()",
    profile: "operator",
    seed: 4,
  },
  "R2.2: a KV write that hangs times out": {
    file: "src/cache/key-value-store.ts",
    from: "return TIMEOUT_MS.kvWrite +",
    to: "return 3_600_000 +",
    profile: "unwell-kv",
    seed: 5,
  },
  "R1.2: a manifest that is a day old counts for nothing": {
    file: "src/cache/manifest.ts",
    from: "&& now - Date.parse(manifest.publishedAt) < MANIFEST_TRUSTED_MS",
    to: "",
    profile: "restarts",
    seed: 90,
  },
  "R1.2: keys count only with a manifest": {
    file: "src/cache/edge-cache.ts",
    from: "await this.#renewed(contents, keys, deadline, watch, { log, waitUntil }));",
    to: `(await this.#renewed(contents, keys, deadline, watch, { log, waitUntil })) ?? ${MANIFEST_WITH_TRUSTED_KEYS});`,
    profile: "isolates",
    seed: 43,
  },
  "R2.1: loading a snapshot outlives the request that started it": {
    file: "src/cache/edge-cache.ts",
    from: "waitUntil(this.#snapshots.load(loading, log));",
    to: "this.#snapshots.load(loading, log);",
    profile: "everything",
    named: "loads its snapshot to the end for a client that has hung up, and for others",
  },
  "R1.2: the age of the cached manifest is checked at the end of the look-up": {
    file: "src/cache/edge-cache.ts",
    from: "(isFresh(copy, Date.now()) ? present : new Uint8Array(count))",
    to: "present",
    profile: "isolates",
    seed: 22,
  },
  "R1.2: a cached manifest counts for a minute": {
    file: "src/cache/manifest-cache.ts",
    from: "this.#latest.readAt <= MANIFEST_START_MAX_AGE_MS",
    to: "this.#latest.readAt <= 3_600_000",
    profile: "isolates",
    seed: 8,
  },
  "R1.1: KV caches the manifest for a shorter time than keys": {
    file: "src/cache/manifest-cache.ts",
    from: "getText(MANIFEST_NAME, KV_CACHE_TTL_MIN_SECONDS)",
    to: "getText(MANIFEST_NAME, 86_400)",
    profile: "well",
    seed: 1,
  },
  "R1.1: events are acknowledged after the catalog has stored them": {
    file: "src/catalog/consumer.ts",
    from: "const outcome = await callCatalog(",
    to: "for (const message of messages) message.ack();\n  const outcome = await callCatalog(",
    profile: "queue-chaos",
    seed: 1,
  },
  "R1.3: blobs are observed as of the time before the bucket is read": {
    file: "src/catalog/consumer.ts",
    from: "const observations = { asOf, present",
    to: "const observations = { asOf: Date.now(), present",
    profile: "queue-chaos",
    seed: 11,
  },
  "R1.3: matches are observed as of the time before the Cloud Controller is called": {
    file: "src/resource-match/after-response.ts",
    from: "reportMatches(matchedByOrigin, askedAt, context)",
    to: "reportMatches(matchedByOrigin, Date.now(), context)",
    profile: "isolates",
    named: "does not keep a file that was deleted",
  },
  "R1.4: the keys of removed files are deleted": {
    file: "src/catalog/key-writer.ts",
    from: "await this.#storeOf(key.prefix).delete(nameOf(key));",
    to: "",
    profile: "well",
    seed: 1,
  },
  "R1.4: a key may exist once its write has started": {
    file: "src/catalog/resource-tables.ts",
    from: "state === ROW_STATE.keyMissing ? 0 : 1,",
    to: "state === ROW_STATE.keyWritten ? 1 : 0,",
    profile: "restarts",
    seed: 38,
  },
  "R1.8: a match gets the mode bits that it lacks": {
    file: "src/resource-match/match-request.ts",
    from: "JSON.stringify(withBits(mode, bits))",
    to: "JSON.stringify(mode)",
    profile: "pushes",
    seed: 8,
  },
  "R1.5: superseded objects are deleted": {
    file: "src/catalog/published-objects.ts",
    from: "await storeOf(prefix).delete(name);",
    to: "",
    profile: "well",
    seed: 1,
  },
  "R1.5: superseded objects are kept for an hour": {
    file: "src/catalog/published-objects.ts",
    from: 'import { SUPERSEDED_KEPT_MS } from "../time/time-guarantees.ts";',
    to: "const SUPERSEDED_KEPT_MS = 1000;",
    profile: "operator",
    seed: 27,
  },
  "R1.3: a snapshot of forgotten entries is discarded": {
    file: "src/catalog/snapshot-builder.ts",
    from: "if (this.#state.current.epoch !== epoch) return;",
    to: "",
    profile: "operator",
    named: "does not publish what was forgotten",
  },
  "R1.3: rejections are observed as of the time before the Cloud Controller is called": {
    file: "src/resource-match/verification.ts",
    from: "const rejections = { asOf, verified,",
    to: "const rejections = { asOf: Date.now(), verified,",
    profile: "pushes",
    named: "does not remove a file that was uploaded",
  },
  "R1.7: the fingerprint of a request includes its paths": {
    file: "src/resource-match/match-request.ts",
    from: "fingerprintOf(contents, ...paths)",
    to: "fingerprintOf(contents)",
    profile: "pushes",
    seed: 6,
  },
  "R3.1: candidates with an ineligible mode get a decision": {
    file: "src/resource-match/match-request.ts",
    from: "const contents = candidates.folded();",
    to: "const contents = candidates.folded(); this.isEligible.forEach((is, at) => is || contents.fill(at, 8 * at, 8 * at + 8));",
    profile: "pushes",
    seed: 6,
  },
  "R3.1: decisions belong to one session": {
    file: "src/push-sessions/push-sessions.ts",
    from: 'const query = "SELECT * FROM decisions WHERE push_id = ?";',
    to: 'const query = "SELECT * FROM decisions WHERE push_id = ? OR 1";',
    profile: "pushes",
    seed: 7,
  },
  "R3.3: the decisions for a request of 5,000 are stored": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (!isStored) return;",
    to: "return;",
    profile: "pushes",
    seed: 6,
  },
  "R3.1: a decision of no match is stored": {
    file: "src/push-sessions/push-sessions.ts",
    from: "contents.slice().buffer, decisions.buffer);",
    to: "contents.slice().buffer, decisions.map((mark) => (mark === NO_MATCH ? 0 : mark)).buffer);",
    profile: "pushes",
    seed: 6,
  },
  "R1.7: a suspected retry is verified before its decisions are stored": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (isRetry && !isVerified) {",
    to: `const recorded = session.batches.find((batch) => batch.requestId === requestId);
    if (recorded) return { decisions: recorded.marks, decidedEarlier: 0 };
    if (isRetry && !isVerified) {
      await this.decide(pushId, fingerprint, requestId, contents, found, true);`,
    profile: "pushes",
    seed: 64,
  },
  "R1.7: a suspected retry is verified": {
    file: "src/push-sessions/push-session.ts",
    from: "if (reply?.retrySuspected) await verify?.(earlier);",
    to: "",
    profile: "pushes",
    seed: 22,
  },
  "R3.4: a repeated call is no retry": {
    file: "src/push-sessions/push-sessions.ts",
    from: "const is_retry = recorded ?? (stored?.is_retry",
    to: "const is_retry = (recorded !== undefined || stored?.is_retry",
    profile: "pushes",
    named: "asks the Cloud Controller about no match when reply",
  },
  "R1.7: the fingerprints of requests are stored": {
    file: "src/push-sessions/push-sessions.ts",
    from: "if (this.#isWriteDue) return;",
    to: "return;",
    profile: "pushes",
    seed: 64,
  },
  "R3.2: the trace id of an old cf CLI is no push id": {
    file: "src/push-sessions/push-id.ts",
    from: "if (major < 8 || (major === 8 && minor < 12)) return undefined;",
    to: "",
    profile: "pushes",
    seed: 6,
  },
  "R3.2: a push id that repeats a request identifies no push": {
    file: "src/push-sessions/push-sessions.ts",
    from: 'const isIdentified = pushId !== "" && !isRepeated;',
    to: 'const isIdentified = pushId !== "";',
    profile: "pushes",
    seed: 114,
  },
  "R1.6: a failed request to the Cloud Controller is no rejection": {
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
  "R3.1: an earlier match wins": {
    file: "src/push-sessions/decisions.ts",
    from: "if (decisions[index] === UNDECIDED) {",
    to: "if (decisions[index] !== NO_MATCH) {",
    profile: "pushes",
    seed: 8,
  },
  "R3.1: an earlier no match wins": {
    file: "src/push-sessions/decisions.ts",
    from: "if (decisions[index] === UNDECIDED) {",
    to: "if (decisions[index] !== MATCH) {",
    profile: "pushes",
    seed: 6,
  },
  "R3.1: decisions of an identified session are final": {
    file: "src/push-sessions/decisions.ts",
    from: "if (isLost && !this.isIdentified)",
    to: "if (isLost)",
    profile: "pushes",
    seed: 342,
  },
  "R3.2: a rejection overrides a match in an unidentified session": {
    file: "src/push-sessions/decisions.ts",
    from: "const isLost = mark === REJECTED || (mark",
    to: "const isLost = (mark",
    profile: "pushes",
    seed: 92,
  },
  "R3.2: a removal overrides an old match in an unidentified session": {
    file: "src/push-sessions/decisions.ts",
    from: "(mark === REMOVED && oldMarks[index] === MATCH)",
    to: "false",
    profile: "pushes",
    named: "does not match a file three minutes after its removal was reported",
  },
  "R3.2: a removal overrides no recent match": {
    file: "src/push-sessions/decisions.ts",
    from: "decidedAt < now - MATCH_FINAL_MS",
    to: "decidedAt < now",
    profile: "pushes",
    named: "keeps a match of an old client for three minutes",
  },
  "R3.6: the isolate's own decisions count if the object is unreachable": {
    file: "src/push-sessions/push-session.ts",
    from: "new Decisions(this.#kept() ?? NO_SESSION)",
    to: "new Decisions(NO_SESSION)",
    profile: "pushes",
    seed: 147,
  },
  "R3.6: the object receives the decisions that were made without it": {
    file: "src/push-sessions/push-session.ts",
    from: "batches.length > 0 ? new Decisions",
    to: "batches.length > 1_000 ? new Decisions",
    profile: "pushes",
    named: "keeps the decision of an isolate that did not reach",
  },
  "R3.5: only the object ends the sessions that it has stored": {
    file: "src/push-sessions/push-session.ts",
    from: "filter(({ isStored }) => !isStored)",
    to: "filter(() => true)",
    profile: "pushes",
    seed: 432,
  },
  "R1.2: the cached manifest is checked again after waiting for the session object": {
    file: "src/resource-match/decide-matches.ts",
    from: "if (foundBy.includes(CACHE) && !matches.foundBy().includes(CACHE)) {",
    to: "if (false) {",
    profile: "isolates",
    seed: 22,
  },
  "R1.7: a rejection in the look-up counts for a suspected retry": {
    file: "src/resource-match/lookup.ts",
    from: "for (const index of unresolved.get(key) ?? []) isRejected[index] = 1;",
    to: "unresolved.get(key);",
    profile: "everything",
    seed: 3264,
  },
  "R3.5: an identified session does not end during a push": {
    file: "src/push-sessions/expiry.ts",
    from: "isIdentified ? SESSION_IDLE_MAX_MS",
    to: "isIdentified ? 60_000",
    profile: "pushes",
    seed: 20,
  },
  "R3.5: an unidentified session does not end during a push": {
    file: "src/push-sessions/expiry.ts",
    from: ": UNIDENTIFIED_SESSION_IDLE_MS);",
    to: ": 60_000);",
    profile: "pushes",
    seed: 22,
  },
  "R3.5: an old session ends only in a pause": {
    file: "src/push-sessions/expiry.ts",
    from: "if (now - firstAt > SESSION_OLD_MS && idleMs > SESSION_PAUSE_MS) return true;",
    to: "if (now - firstAt > SESSION_OLD_MS) return true;",
    profile: "pushes",
    named: "keeps the first decision in a session that is older than 30 minutes",
  },
  "R3.2: an unidentified session ends": {
    file: "src/push-sessions/expiry.ts",
    from: "return idleMs > (isIdentified ? SESSION_IDLE_MAX_MS : UNIDENTIFIED_SESSION_IDLE_MS);",
    to: "return idleMs > 2 * SESSION_IDLE_MAX_MS;",
    profile: "pushes",
    named: "ends five minutes after its last request of 5,000",
  },
  "R1.2: a missing manifest counts for nothing": {
    file: "src/cache/manifest-cache.ts",
    from: 'return known?.kind === "current" ? known : { kind: "distrusted", readAt };',
    to: `return known?.kind === "current" ? known : ${MANIFEST_WITH_TRUSTED_KEYS};`,
    profile: "everything",
    seed: 49,
  },
  "R1.6: a few matches are verified after the response": {
    file: "src/resource-match/after-response.ts",
    from: "if (unverified.length > 0) context",
    to: "if (false) context",
    profile: "pushes",
    named: "fails one push of an app of",
  },
  "R1.6: all matches are verified after one rejection": {
    file: "src/resource-match/verification.ts",
    from: "if (rejected.length > 0) await",
    to: "if (false) await",
    profile: "pushes",
    named: "fails one push of an app of",
  },
  "R1.1: the delta counts while the cache is suspended": {
    file: "src/cache/edge-cache.ts",
    from: "isRemoved: removedIn(marks), isSuspended: true",
    to: "isSuspended: true",
    profile: "pushes",
    named: "does not match a file that was removed while the cache is suspended",
  },
};
