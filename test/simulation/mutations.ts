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
  kind: "current", readAt: Date.now(), held: new BigUint64Array(), removed: new BigUint64Array(),
  pointer: { secret: "0".repeat(32), snapshot: null, keysCount: true, suspendedUntil: null },
} as unknown as CurrentCopy)`;

/** Each by what it leaves out. */
export const MUTATIONS: Record<string, Mutation> = {
  "held by its time": {
    file: "src/catalog/ledger.ts",
    from: "if (seenAt <= row.observed_at && !isCorrected) return false;",
    to: "",
    profile: "operator",
    seed: 17,
  },
  "removed by its time": {
    file: "src/catalog/ledger.ts",
    from: "if (row && seenAt < row.observed_at) return false;",
    to: "",
    profile: "operator",
    seed: 31,
  },
  "a size that was measured stands": {
    file: "src/catalog/ledger.ts",
    from: 'if (row.measured && !isMeasured && size !== row.size) return "made-up-size";',
    to: "",
    profile: "isolates",
    seed: 5,
  },
  "what comes back is no longer removed": {
    file: "src/catalog/resource-table.ts",
    from: `      isMeasured ? 1 : 0,
      this.#comeBack(sha1, size),`,
    to: `      isMeasured ? 1 : 0,
      STATE.unkeyed,`,
    profile: "operator",
    seed: 2,
  },
  "nothing is believed of before a forget": {
    file: "src/catalog/ledger.ts",
    from: 'look.seenAt > this.#memory.get("forgottenAt")',
    to: "true",
    profile: "operator",
    seed: 11,
  },
  "values before the pointer": {
    file: "src/catalog/pointer-writer.ts",
    from: "if (packed) await this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value));",
    to: "if (packed) scheduler.wait(2_000).then(() => this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value))).catch(() => {});",
    profile: "restarts",
    seed: 18,
  },
  "removals are told until no key can outlive them": {
    file: "src/catalog/changes.ts",
    from: "AND (revision > ? OR keyed = ?)",
    to: "AND (revision > ? OR keyed = -2 - ?)",
    profile: "operator",
    seed: 27,
  },
  "a key outlives its deletion in caches": {
    file: "src/catalog/changes.ts",
    from: "const outlived = now - KEY_OUTLIVES_DELETION_MS;",
    to: "const outlived = now;",
    profile: "well",
    seed: 68,
  },
  "removals are told as long as the snapshot holds what has left": {
    file: "src/catalog/changes.ts",
    from: "(prefix <> ? OR revision <= ?)",
    to: "(prefix <> ? OR ? > 0 OR 1)",
    profile: "restarts",
    seed: 22,
  },
  "the pointer is touched": {
    file: "src/catalog/pointer-writer.ts",
    from: "published.at + TOUCH_MS",
    to: "Number.MAX_SAFE_INTEGER",
    profile: "well",
    seed: 1,
  },
  "the pointer again after a doubt": {
    file: "src/catalog/pointer-writer.ts",
    from: 'const again = now < memory.get("doubtUntil") ?',
    to: "const again = now < 0 ?",
    profile: "unwell-kv",
    named: "writes its pointer again while an earlier one may still arrive",
  },
  "a repeated call sets the alarm": {
    file: "src/catalog/catalog.ts",
    from: 'if (this.#memory.get("behindSince") !== null) {',
    to: "if (observed.changed > 0) {",
    profile: "restarts",
    named: "publishes what it is told again, where the platform has given up the alarm",
  },
  "a prefix that was left is retired": {
    file: "src/catalog/publisher.ts",
    from: "retire(this.#memory, this.#values, storeOf, now)",
    to: "Promise.resolve()",
    profile: "operator",
    seed: 4,
  },
  "no waiting for a write that hangs": {
    file: "src/patience.ts",
    from: "kvWrite: 5_000,",
    to: "kvWrite: 3_600_000,",
    profile: "unwell-kv",
    seed: 148,
  },
  "an old pointer is distrusted": {
    file: "src/cache/pointer.ts",
    from: "&& now - Date.parse(pointer.publishedAt) < TRUSTED_MS",
    to: "",
    profile: "restarts",
    seed: 90,
  },
  "no key before the pointer was read": {
    file: "src/cache/edge-cache.ts",
    from: "await this.#renewed(contents, keys, deadline, watch, { log, waitUntil }));",
    to: `(await this.#renewed(contents, keys, deadline, watch, { log, waitUntil })) ?? ${COPY_WHERE_KEYS_COUNT});`,
    profile: "isolates",
    seed: 18,
  },
  "a snapshot's load outlives its request": {
    file: "src/cache/edge-cache.ts",
    from: "waitUntil(this.#snapshots.load(loading, log));",
    to: "this.#snapshots.load(loading, log);",
    profile: "everything",
    named: "loads its snapshot to the end for a client that has hung up, and for others",
  },
  "the copy's age at the moment of the answer": {
    file: "src/cache/edge-cache.ts",
    from: "(counts(copy, Date.now()) ? held : new Uint8Array(count))",
    to: "held",
    profile: "isolates",
    seed: 22,
  },
  "a copy counts for a minute": {
    file: "src/cache/copies.ts",
    from: "const BEGIN_MAX_AGE_MS = 45_000;",
    to: "const BEGIN_MAX_AGE_MS = 3_600_000;",
    profile: "isolates",
    seed: 8,
  },
  "the pointer is not cached as keys are": {
    file: "src/cache/copies.ts",
    from: "getText(POINTER_NAME, KV_CACHE_TTL_MIN_SECONDS)",
    to: "getText(POINTER_NAME, 86_400)",
    profile: "well",
    seed: 1,
  },
  "acknowledged when the catalog has it": {
    file: "src/catalog/consumer.ts",
    from: "    await inTime(PATIENCE_MS.catalogTold, catalogOf(",
    to: "    for (const message of messages) message.ack();\n    await inTime(PATIENCE_MS.catalogTold, catalogOf(",
    profile: "queue-chaos",
    seed: 1,
  },
  "as of before the look": {
    file: "src/catalog/consumer.ts",
    from: "const observations = { asOf, held",
    to: "const observations = { asOf: Date.now(), held",
    profile: "queue-chaos",
    seed: 11,
  },
  "as of before the question": {
    file: "src/resource-match/follow-up.ts",
    from: "observeMatches(matchedByOrigin, askedAt, context)",
    to: "observeMatches(matchedByOrigin, Date.now(), context)",
    profile: "isolates",
    seed: 257,
  },
  "keys are deleted": {
    file: "src/catalog/key-writer.ts",
    from: "await storeOf(key.prefix).delete(nameOf(key));",
    to: "",
    profile: "well",
    seed: 1,
  },
  "a key whose write was begun may be there": {
    file: "src/catalog/resource-table.ts",
    from: "state === STATE.unkeyed ? 0 : 1,",
    to: "state === STATE.keyed ? 1 : 0,",
    profile: "restarts",
    seed: 38,
  },
  "the mode bits that a claim lacks are added": {
    file: "src/resource-match/question.ts",
    from: "JSON.stringify(withBits(mode, bits))",
    to: "JSON.stringify(mode)",
    profile: "pushes",
    seed: 8,
  },
  "what is superseded is deleted": {
    file: "src/catalog/written-values.ts",
    from: "await storeOf(prefix).delete(name);",
    to: "",
    profile: "well",
    seed: 1,
  },
};
