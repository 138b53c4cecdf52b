import { ROW_STATE } from "../../src/catalog/catalog-storage.ts";
import { FailOpenChecker } from "./fail-open-checker.ts";
import { LONG_DEADLINE_MS, TOKEN_MAX_MS } from "./limits.ts";
import { OPERATOR } from "./operator.ts";
import type { Isolate, MatchCall, MatchReply } from "./platform/isolate.ts";
import { sha1OfBlobName } from "./platform/r2.ts";
import { PushChecker } from "./push-checker.ts";
import type { ObservationCounts, Observations } from "./reported-pool.ts";
import type { RequestBody } from "./request-body.ts";
import { isPoolable, keyOfResource } from "./resources.ts";
import { formatTime } from "./schedule.ts";
import { type Decision, type RequestRecord, SessionModels } from "./session-model.ts";
import { Spans } from "./spans.ts";
import type { World } from "./world.ts";

/** R1.1: a removed file may be matched for this long after its removal was reported. */
const MATCHED_AFTER_REMOVAL_MS = 180_000;
/** A reported file must be matched after this time. */
const MATCHED_AFTER_REPORT_MS = 180_000;
/** R3.2: a decision of an unidentified session is final for this long, even if the file was removed. */
const DECISION_FINAL_MS = 180_000;
/** The cached manifest no longer counts in a response that takes longer. */
const CACHE_RESPONSE_MAX_MS = 10_000;
/** The share of LOOKUP_DEADLINE_MS by which verification before the response may exceed it. */
const VERIFICATION_SHARE = 1 / 4;
/** Two calls of the session object, two seconds each. */
const SESSION_CALLS_MAX_MS = 2 * 2_000;
/** For calls and reads without a fault. */
const MARGIN_MS = 1_500;
/** The log event of an unreachable session object. */
const SESSIONS_UNREACHABLE = "push-sessions-unreachable";
const MANIFEST_TRUSTED_MS = 25 * 60 * 60 * 1000;
/** A fault of the catalog delays it for this long after its end. */
const RECOVERY_MS = 120_000;
/** A removal that changes a decision may have been reported this long before the decision. */
const REMOVED_BEFORE_DECISION_MS = 10 * 60_000;

/** The parameter of the catalog's `reportRejections`. */
interface Rejections {
  asOf: number;
  rejected: readonly string[];
}

export interface CheckedReply extends MatchReply {
  isolate: Isolate;
  record: RequestRecord;
  call: MatchCall;
}

/** A broken rule. test/simulation/README.md describes each. */
export interface Violation {
  rule:
    | "stale match"
    | "missed match"
    | "changed decision"
    | "lost file"
    | "failed push"
    | "wrong pass-through"
    | "exception"
    | "unhealed"
    | "slow response"
    | "needless verification"
    | "lost observation"
    | "postdated observation"
    | "inconsistent cache";
  /** Ms since the start. */
  at: number;
  text: string;
}

/** Checks everything that the code under test does against the true pool, the reports and the earlier decisions. */
export class Checker {
  readonly violations: Violation[] = [];
  readonly pushes: PushChecker;
  readonly failOpen: FailOpenChecker;
  readonly #sessions = new SessionModels();
  readonly #world: World;
  #prefix: string | undefined;
  /** The result that each call of `observe` must return. */
  readonly #expectedCounts = new WeakMap<Observations, ObservationCounts>();
  /** When the catalog could not publish, and readers could not detect it. */
  readonly #unpublished = new Spans();
  /** When the catalog had a fault. */
  readonly #catalogFaults = new Spans();
  readonly responses: { at: number; matched: readonly string[] }[] = [];
  /** Requests whose clients have disconnected. */
  readonly abandoned = new Set<string>();
  readonly counts = { responses: 0, matches: 0, due: 0, observations: 0 };

  constructor(world: World) {
    this.#world = world;
    this.pushes = new PushChecker(world);
    this.failOpen = new FailOpenChecker(world);
  }

  /** A method of the catalog has run, and its writes are durable. */
  noteStored(method: string, [parameter]: unknown[], caller: string): void {
    const { reported, kernel, pool } = this.#world;
    if (method === "forget") reported.forget(kernel.now);
    if (method === "reportRejections") this.#noteRejections(parameter as Rejections);
    if (method !== "observe") return;
    const observations = parameter as Observations;
    this.counts.observations += 1;
    kernel.note(`catalog has stored ${summary(observations)}`);
    const { asOf, present = [], removed = [] } = observations;
    for (const key of present) {
      const sha1 = key.slice(0, 40);
      if (!pool.wasEver(sha1, true, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was reported as present, and was not in the pool at ${this.#time(asOf)} or later`,
        );
      }
    }
    // The time of a removal that the operator reports includes the delay of the request.
    for (const sha1 of caller.startsWith(OPERATOR) ? [] : removed) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was reported as removed, and was in the pool from ${this.#time(asOf)} on`,
        );
      }
    }
    this.#expectedCounts.set(observations, reported.store(observations, kernel.now));
  }

  /** Rejections that the catalog accepts count as reported removals. */
  #noteRejections({ asOf, rejected }: Rejections): void {
    const { reported, kernel, pool, catalog } = this.#world;
    const { sql } = catalog.storage.api;
    for (const sha1 of rejected) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was reported as rejected, and was in the pool from ${this.#time(asOf)} on`,
        );
      }
    }
    const isAccepted = (sha1: string) => {
      const query = "SELECT state FROM resources WHERE sha1 = ? AND observed_at = ?";
      const [row] = sql.exec(query, Buffer.from(sha1, "hex"), asOf).toArray();
      return row?.state === ROW_STATE.removed;
    };
    const removed = rejected.filter(isAccepted);
    kernel.note(
      `catalog has stored rejections of ${rejected.map(short).join(",")}, accepted ${removed.map(short).join(",")}`,
    );
    reported.store({ asOf, removed, sizes: "client-reported" }, kernel.now);
    reported.confirmRemovals({ asOf, removed, sizes: "client-reported" }, kernel.now);
    const suspension = this.#suspension();
    if (suspension) this.noteCatalogFault(kernel.now, suspension.until);
  }

  /** The current suspension of the cache, by the catalog's tables. */
  #suspension(): { from: number; until: number } | undefined {
    const { sql } = this.#world.catalog.storage.api;
    // The catalog creates its tables when it starts, and the row when it stores its first change.
    if (sql.exec("SELECT 1 FROM sqlite_schema").toArray().length === 0) return undefined;
    const [row] = sql.exec("SELECT value FROM catalog_state").toArray();
    if (!row) return undefined;
    const { suspension } = JSON.parse(String(row.value));
    if (suspension === undefined) throw new Error("the state of the catalog has no suspension");
    return suspension ?? undefined;
  }

  /** A caller of the catalog gets the result. */
  noteReturned(method: string, [parameter]: unknown[], result: unknown): void {
    if (method !== "observe") return;
    const { reported, kernel } = this.#world;
    const observations = parameter as Observations;
    reported.confirmRemovals(observations, kernel.now);
    kernel.note(`catalog returns ${JSON.stringify(result)}`);
    const expected = this.#expectedCounts.get(observations);
    const { changed = 0, tooOld = 0, conflictingSize = 0 } = expected ?? {};
    const { refused, ...counts } = result as { changed: number; refused: Record<string, number> };
    if (
      counts.changed !== changed ||
      refused["too-old"] !== tooOld ||
      refused["conflicting-size"] !== conflictingSize
    ) {
      this.violated(
        "lost observation",
        `the catalog returns ${JSON.stringify(result)}, but ${changed} changed, ${tooOld} are too old, ` +
          `${conflictingSize} have a conflicting size`,
      );
    }
  }

  /** The catalog runs with a KEY_PREFIX. If that has changed, it starts with no entries. */
  notePrefix(prefix: string): void {
    const { reported, kernel } = this.#world;
    const isChanged = this.#prefix !== undefined && this.#prefix !== prefix;
    this.#prefix = prefix;
    if (!isChanged) return;
    kernel.note(`catalog moves to "${prefix}"`);
    reported.empty(kernel.now);
    this.noteCatalogFault(kernel.now, kernel.now);
  }

  /** Nothing is published. After a day the manifest is no longer trusted. */
  noteAlarmsPaused(from: number, until: number): void {
    this.#unpublished.add(from, Math.min(until, from + MANIFEST_TRUSTED_MS) + RECOVERY_MS);
    this.noteCatalogFault(from, until);
  }

  noteCatalogFault(from: number, until: number): void {
    this.#catalogFaults.add(from, until + RECOVERY_MS);
  }

  /** The consumer has acknowledged an event: the catalog must have an observation from its delivery or later. */
  noteAcknowledged(body: unknown, deliveredAt: number): void {
    const { object } = body as { object: { key: string } };
    const sha1 = sha1OfBlobName(object.key);
    if (sha1 && !this.#world.reported.hasObservationSince(sha1, deliveredAt)) {
      this.violated(
        "lost observation",
        `the event of ${short(sha1)} was acknowledged before the catalog had stored it`,
      );
    }
  }

  /** A request is sent to an isolate. */
  noteRequest(call: MatchCall, isolate: Isolate): RequestRecord {
    const { kernel, controller, uaa } = this.#world;
    const { minimumSize, maximumSize } = isolate.configuration.eligibility;
    const candidates = call.body.resources
      .filter(({ size_in_bytes: size }) => size >= minimumSize && size <= maximumSize)
      .map(keyOfResource);
    const tokenKey = uaa.key;
    const record = this.#sessions.add({ ...call, isolate: isolate.name, tokenKey }, candidates, kernel.now);
    this.failOpen.noteRequest(record);
    const { requestId, startedAt } = record;
    const { lookupDeadlineMs } = isolate.configuration;
    const check = (isAwaitingKeys: boolean) => {
      const isAwaited =
        record.outcome === "open" &&
        !this.abandoned.has(requestId) &&
        !controller.passedThrough.has(requestId);
      if (!isAwaited || !isolate.isAlive || isolate.wasFrozen(startedAt, kernel.now)) return;
      if (isAwaitingKeys) kernel.after(TOKEN_MAX_MS, () => check(false));
      else this.violated("slow response", `${requestId} has no response after ${kernel.now - startedAt} ms`);
    };
    const limitMs = lookupDeadlineMs * (1 + VERIFICATION_SHARE) + SESSION_CALLS_MAX_MS + MARGIN_MS;
    kernel.after(limitMs, () => check(uaa.failedAt(isolate) >= startedAt - TOKEN_MAX_MS));
    return record;
  }

  checkResponse({ isolate, record, call, ...reply }: CheckedReply): void {
    const { kernel, controller, requestsWithSessionFault, start } = this.#world;
    const { now } = kernel;
    const { requestId, session } = record;
    const { lines } = reply;
    const matched = reply.listed.map(keyOfResource);
    this.counts.responses += 1;
    this.counts.matches += matched.length;
    this.responses.push({ at: record.startedAt - start, matched });
    record.respondedAt = now;
    record.wasFrozen = isolate.wasFrozen(record.startedAt, now);
    const hadFault = requestsWithSessionFault.has(requestId) || record.wasFrozen;
    record.isUnreachable = lines.some(({ event }) => event === SESSIONS_UNREACHABLE) && hadFault;
    this.failOpen.checkOutcome(record, call.body, isolate, reply);
    if (record.outcome !== "matched") {
      session.noteFailure(record);
      return;
    }
    session.expireUncertain(record, now);
    const sha1s = new Set(matched.map((key) => key.slice(0, 40)));
    // The isolate has no manifest, or lacks an object that it names, so it does not see removals.
    const isManifestUnread = lines.some(
      ({ event, tier }) => event === "lookup-incomplete" && tier === "manifest",
    );
    const isManifestHidden = isManifestUnread && this.#isHidden(isolate.place, record);
    this.#checkMatches(isolate, record, call, matched, isManifestHidden);
    this.#checkMisses(isolate, record, call, sha1s);
    this.#checkDecisions(record, sha1s);
    session.noteResponse(record, sha1s, now);
    controller.requested.delete(requestId);
  }

  /** R3.1, R3.2: earlier decisions of the session are kept. */
  #checkDecisions(record: RequestRecord, matched: ReadonlySet<string>): void {
    const { pool, kernel, settings, controller } = this.#world;
    const { session, requestId } = record;
    const isRepeated = this.#sessions.mayBeRepeated(record);
    const isLookedUp = (sha1: string) => controller.requested.get(requestId)?.has(sha1) ?? false;
    for (const sha1 of record.candidates) {
      const { match, noMatch, isBinding, since } = record.isUnreachable
        ? session.decisionOfIsolate(record, sha1, kernel.now)
        : session.decisionBefore(record, sha1);
      if (!isBinding || (matched.has(sha1) ? match : noMatch)) continue;
      const mayBeRejected = settings.hasCloudController && (isRepeated || isLookedUp(sha1));
      const isOldOrRejected = mayBeRejected || kernel.now - since >= DECISION_FINAL_MS - MARGIN_MS;
      const mayChange = match && session.isIdentified !== "yes" && isOldOrRejected;
      // Only a file that the pool lacked can be rejected or removed.
      if (mayChange && pool.wasEver(sha1, false, since - REMOVED_BEFORE_DECISION_MS, kernel.now)) continue;
      const change = match ? "from match to no match" : "from no match to match";
      this.violated(
        "changed decision",
        `${requestId} changes ${short(sha1)} ${change}, decided ${formatTime(kernel.now - since)} ago`,
      );
    }
  }

  /** R1.1: a removed file is matched only for a limited time. */
  #checkMatches(
    isolate: Isolate,
    record: RequestRecord,
    { body }: MatchCall,
    matched: readonly string[],
    isManifestHidden: boolean,
  ): void {
    const { kernel, reported, controller } = this.#world;
    const { now } = kernel;
    const { requestId, session } = record;
    const matchedByController = controller.matched.get(requestId);
    const keys = new Set(body.resources.map(keyOfResource));
    const ineligible = ineligibleByMode(body);
    const suspension = this.#suspension();
    const isSuspended =
      suspension !== undefined &&
      now < suspension.until &&
      now - suspension.from > MATCHED_AFTER_REMOVAL_MS + this.#delayMs(isolate.place, suspension.from, now);
    for (const key of matched) {
      const sha1 = key.slice(0, 40);
      if (!keys.has(key))
        this.violated("stale match", `${requestId} matches ${short(key)}, which it does not contain`);
      if (matchedByController?.has(sha1)) continue;
      const decision = session.decisionBefore(record, sha1);
      if (isSuspended && !decision.match) {
        this.violated("stale match", `${requestId} matches ${short(sha1)}, although the cache is suspended`);
        continue;
      }
      for (const { reportedAt, isRemoval } of reported.objectionsToMatch(sha1)) {
        const allowedMs = MATCHED_AFTER_REMOVAL_MS + this.#delayMs(isolate.place, reportedAt, now);
        if (now - reportedAt <= allowedMs) continue;
        // Documented limits: the delta is not read for a file that its mode excludes, or KV does not return it.
        const isDeltaUnread = isManifestHidden || ineligible.has(sha1);
        const isFinal = isDeltaUnread || this.#isFinal(decision, record, isolate.place);
        if (decision.match && (!isRemoval || isFinal)) continue;
        const reason =
          reportedAt === -Infinity
            ? "which was never reported"
            : `${formatTime(now - reportedAt)} after its removal was reported`;
        this.violated("stale match", `${requestId} in ${isolate.name} matches ${short(sha1)}, ${reason}`);
        break;
      }
    }
  }

  /** Whether a place of KV may not have returned a stored value to a request. */
  #isHidden(place: number, { startedAt }: RequestRecord): boolean {
    const { kvFaults, kernel } = this.#world;
    return (
      kvFaults.isHidingObjects(place, kernel.now) ||
      kvFaults.readsHealthySince(place, kernel.now) >= startedAt
    );
  }

  /** Whether a decision is final although the removal is visible to every isolate. */
  #isFinal({ latest }: Decision, { session }: RequestRecord, place: number): boolean {
    if (session.isIdentified !== "no") return true;
    const { now } = this.#world.kernel;
    const from = Math.min(latest, now);
    return now - from <= DECISION_FINAL_MS + this.#delayMs(place, from, now);
  }

  /** A file in the pool is matched if it was reported, or if the Cloud Controller could be called. */
  #checkMisses(
    isolate: Isolate,
    record: RequestRecord,
    { body }: MatchCall,
    matched: ReadonlySet<string>,
  ): void {
    const { kernel, pool, controller } = this.#world;
    const { now } = kernel;
    const { requestId, session, startedAt } = record;
    if (record.wasFrozen || now - startedAt > CACHE_RESPONSE_MAX_MS) return;
    const ineligible = ineligibleByMode(body);
    const hasControllerResponded = this.#hasControllerResponded(isolate, record);
    const isRepeated = this.#sessions.mayBeRepeated(record);
    for (const key of new Set(body.resources.map(keyOfResource))) {
      const sha1 = key.slice(0, 40);
      if (!record.candidates.has(sha1) || ineligible.has(sha1)) continue;
      if (pool.wasEver(sha1, false, startedAt, now) || session.decisionBefore(record, sha1).noMatch) continue;
      const isDue = this.#isDue(isolate, record, key);
      if (!isDue && !hasControllerResponded) continue;
      this.counts.due += 1;
      if (!matched.has(sha1)) {
        const reason = isDue ? "reported three minutes ago" : "which the healthy Cloud Controller has";
        this.violated("missed match", `${requestId} in ${isolate.name} lacks ${short(key)}, ${reason}`);
      } else if (isDue && !isRepeated && controller.requested.get(requestId)?.has(sha1)) {
        this.violated(
          "needless verification",
          `${requestId} in ${isolate.name} calls the Cloud Controller about ${short(key)}, which the cache has`,
        );
      }
    }
  }

  /** Whether the cache must match a resource by now. */
  #isDue(isolate: Isolate, { startedAt }: RequestRecord, key: string): boolean {
    const { reported, kvFaults, kernel } = this.#world;
    const { now } = kernel;
    const reportedAt = reported.presentSince(key);
    if (reportedAt === undefined) return false;
    const since = Math.max(
      reportedAt,
      kvFaults.healthySince(isolate.place, now),
      this.#catalogFaults.lastEnd(now),
    );
    if (since > startedAt - MATCHED_AFTER_REPORT_MS) return false;
    return isolate.configuration.keyPrefix === this.#prefix && !kvFaults.isHidingObjects(isolate.place, now);
  }

  /** Whether the Cloud Controller must have responded about the files that the cache lacks. */
  #hasControllerResponded(isolate: Isolate, { requestId, startedAt }: RequestRecord): boolean {
    const { settings, controller, kvFaults, kernel } = this.#world;
    const { lookupDeadlineMs } = isolate.configuration;
    return (
      settings.hasCloudController &&
      lookupDeadlineMs >= LONG_DEADLINE_MS &&
      !controller.faultsByRequest.has(requestId) &&
      controller.isHealthy(startedAt, kernel.now) &&
      kvFaults.readsHealthySince(isolate.place, kernel.now) < startedAt
    );
  }

  /** Compares all entries of the catalog with the reports. */
  checkCatalog(resources: readonly string[]): void {
    const expected = this.#world.reported.present();
    for (const key of expected.filter((each) => !resources.includes(each)))
      this.violated("lost observation", `the catalog lacks ${short(key)}, which was reported as present`);
    for (const key of resources.filter((each) => !expected.includes(each)))
      this.violated("lost observation", `the catalog has ${short(key)}, which was reported as removed`);
  }

  /** The part of a time in which faults of KV or of the alarms delayed the publishing of a removal. */
  #delayMs(place: number, from: number, until: number): number {
    if (from === -Infinity) return 0;
    return this.#world.kvFaults.delayMs(place, from, until) + this.#unpublished.lengthWithin(from, until);
  }

  violated(rule: Violation["rule"], text: string): void {
    const { kernel, start } = this.#world;
    kernel.note(`VIOLATION ${rule}: ${text}`);
    this.violations.push({ rule, at: kernel.now - start, text });
  }

  #time(time: number): string {
    return formatTime(Math.max(0, time - this.#world.start));
  }
}

/** The SHA-1s of files that their mode excludes from matching. */
function ineligibleByMode({ resources }: RequestBody): ReadonlySet<string> {
  return new Set(resources.filter((each) => !isPoolable(each)).map(({ checksum }) => checksum.value));
}

function short(key: string): string {
  return key.slice(0, 6) + key.slice(40);
}

function summary({ present = [], removed = [], sizes }: Observations): string {
  return `present ${present.map(short).join(",") || "none"}, removed ${removed.map(short).join(",") || "none"} (${sizes})`;
}
