import { ROW_STATE } from "../../src/catalog/catalog-storage.ts";
import { PATIENT_DEADLINE_MS } from "./limits.ts";
import { OPERATOR } from "./operator.ts";
import type { Answer, Isolate, Question } from "./platform/isolate.ts";
import { sha1OfBlobName } from "./platform/r2.ts";
import { PushJudge } from "./push-judge.ts";
import type { RequestBody } from "./request-body.ts";
import { isPoolable, keyOfResource } from "./resources.ts";
import { clock } from "./schedule.ts";
import { type Asked, type Decision, Sessions } from "./sessions.ts";
import { Spans } from "./spans.ts";
import type { Effect, Observations } from "./told.ts";
import type { World } from "./world.ts";

/** A removed file may be matched for so long after its removal was reported. */
const MATCHED_AFTER_REMOVAL_MS = 180_000;
/** A file that was reported is matched after so long. */
const MATCHED_AFTER_REPORT_MS = 180_000;
/** A decision of an unidentified session stands for so long against a removal. */
const DECIDED_MS = 180_000;
/** What the cache said counts no more in an answer that takes longer. */
const CACHE_ANSWERS_WITHIN_MS = 10_000;
/** Of the time for a look-up, what a verification before the answer may take beyond it. */
const VERIFICATION_PART = 1 / 4;
/** The session object is waited for twice at most. */
const SESSIONS_WAITED_MS = 2 * 2_000;
/** Calls and reads that are well. */
const LITTLE_MS = 1_500;
/** The event of the log that says that the session object could not be reached. */
const SESSIONS_UNREACHABLE = "push-sessions-unreachable";
/** The isolate has no manifest, or not what it names: so it does not see what was removed. */
const MANIFEST_UNREAD = "lookup-incomplete manifest";
const MANIFEST_TRUSTED_MS = 25 * 60 * 60 * 1000;
/** What went wrong with the catalog delays it for so long after. */
const RECOVERY_MS = 120_000;
/** A removal that a manifest names may have been reported so long before a decision was made against it. */
const REMOVED_BEFORE_MS = 10 * 60_000;

/** The parameter of the catalog's `reportRejections`. */
interface Rejections {
  asOf: number;
  rejected: readonly string[];
}

export interface Answered extends Answer {
  isolate: Isolate;
  asked: Asked;
  question: Question;
}

/** Something that must never be. */
export interface Violation {
  rule:
    | "stale match"
    | "missed match"
    | "changed decision"
    | "lost file"
    | "unhealed"
    | "slow response"
    | "needless verification"
    | "lost observation"
    | "postdated observation"
    | "inconsistent cache";
  /** Ms after the beginning. */
  at: number;
  text: string;
}

/** Knows the true pool and what was told, and judges whatever the code under test says. */
export class Judge {
  readonly violations: Violation[] = [];
  readonly pushes: PushJudge;
  readonly #sessions = new Sessions();
  readonly #world: World;
  #prefix: string | undefined;
  /** What the catalog is to have made of each call. */
  readonly #effects = new WeakMap<Observations, Effect>();
  /** When the platform kept the catalog from publishing, as far as readers can't know. */
  readonly #silent = new Spans();
  /** When the catalog was kept from its work. */
  readonly #disturbed = new Spans();
  readonly answers: { at: number; matched: readonly string[] }[] = [];
  readonly counts = { answers: 0, matches: 0, due: 0, observations: 0 };

  constructor(world: World) {
    this.#world = world;
    this.pushes = new PushJudge(world);
  }

  /** A method of the catalog has done its work, which is durable. */
  landed(method: string, [parameter]: unknown[], caller: string): void {
    const { told, kernel, pool } = this.#world;
    if (method === "forget") told.forget(kernel.now);
    if (method === "reportRejections") this.#rejected(parameter as Rejections);
    if (method !== "observe") return;
    const observations = parameter as Observations;
    this.counts.observations += 1;
    kernel.note(`catalog has observed ${summary(observations)}`);
    const { asOf, present = [], removed = [] } = observations;
    for (const key of present) {
      const sha1 = key.slice(0, 40);
      if (!pool.wasEver(sha1, true, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was not present at ${this.#time(asOf)} or later, as was told`,
        );
      }
    }
    // The operator's request may have been under way for long: what was removed is told as of later than it was.
    for (const sha1 of caller.startsWith(OPERATOR) ? [] : removed) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was present from ${this.#time(asOf)} on, against what was told`,
        );
      }
    }
    this.#effects.set(observations, told.landed(observations, kernel.now));
  }

  /** What the Cloud Controller rejected is told as removed, where the catalog believes it. */
  #rejected({ asOf, rejected }: Rejections): void {
    const { told, kernel, pool, catalog } = this.#world;
    const { sql } = catalog.storage.api;
    for (const sha1 of rejected) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated(
          "postdated observation",
          `${short(sha1)} was present from ${this.#time(asOf)} on, and rejected`,
        );
      }
    }
    const isBelieved = (sha1: string) => {
      const query = "SELECT state FROM resources WHERE sha1 = ? AND observed_at = ?";
      const [row] = sql.exec(query, Buffer.from(sha1, "hex"), asOf).toArray();
      return row?.state === ROW_STATE.removed;
    };
    const removed = rejected.filter(isBelieved);
    kernel.note(
      `catalog was rejected ${rejected.map(short).join(",")}, believes ${removed.map(short).join(",")}`,
    );
    told.landed({ asOf, removed, sizes: "client-reported" }, kernel.now);
    told.heard({ asOf, removed, sizes: "client-reported" }, kernel.now);
    const suspension = this.#suspension();
    if (suspension) this.disturbed(kernel.now, suspension.until);
  }

  /** When the catalog has suspended the cache last, if it has not resumed it since. */
  #suspension(): { from: number; until: number } | undefined {
    const { sql } = this.#world.catalog.storage.api;
    const tables = sql.exec("SELECT 1 FROM sqlite_schema WHERE name = 'catalog_state'").toArray();
    if (tables.length === 0) return undefined;
    const [row] = sql.exec("SELECT value FROM catalog_state").toArray();
    return (row && JSON.parse(String(row.value)).suspension) ?? undefined;
  }

  /** The caller hears what became of it. */
  returned(method: string, [parameter]: unknown[], result: unknown): void {
    if (method !== "observe") return;
    const { told, kernel } = this.#world;
    const observations = parameter as Observations;
    told.heard(observations, kernel.now);
    kernel.note(`caller hears: ${JSON.stringify(result)}`);
    const { changed, tooOld, madeUp } = this.#effects.get(observations) ?? {
      changed: 0,
      tooOld: 0,
      madeUp: 0,
    };
    const { refused, ...counts } = result as { changed: number; refused: Record<string, number> };
    if (
      counts.changed !== changed ||
      refused["too-old"] !== tooOld ||
      refused["conflicting-size"] !== madeUp
    ) {
      this.violated(
        "lost observation",
        `of what was told, ${changed} change, ${tooOld} are too old, ${madeUp} have a made-up size`,
      );
    }
  }

  /** The catalog has seen which KEY_PREFIX is deployed: when that is another, it begins anew. */
  begun(prefix: string): void {
    const { told, kernel } = this.#world;
    const isMove = this.#prefix !== undefined && this.#prefix !== prefix;
    this.#prefix = prefix;
    if (!isMove) return;
    kernel.note(`catalog moves to "${prefix}"`);
    told.empty(kernel.now);
    this.disturbed(kernel.now, kernel.now);
  }

  /** Nobody publishes: then the manifest counts for a day, and no longer. */
  silenced(from: number, until: number): void {
    this.#silent.add(from, Math.min(until, from + MANIFEST_TRUSTED_MS) + RECOVERY_MS);
    this.disturbed(from, until);
  }

  disturbed(from: number, until: number): void {
    this.#disturbed.add(from, until + RECOVERY_MS);
  }

  /** The consumer has acknowledged an event: then the catalog knows how the blob was when it was delivered, or later. */
  acknowledged(body: unknown, deliveredAt: number): void {
    const { object } = body as { object: { key: string } };
    const sha1 = sha1OfBlobName(object.key);
    if (sha1 && !this.#world.told.knowsAsOf(sha1, deliveredAt)) {
      this.violated(
        "lost observation",
        `the event of ${short(sha1)} was acknowledged before the catalog knew`,
      );
    }
  }

  /** A request is sent to an isolate. */
  asked(question: Question, isolate: Isolate): Asked {
    const { kernel } = this.#world;
    const { minimumSize, maximumSize } = isolate.configuration.eligibility;
    const candidates = question.body.resources
      .filter(({ size_in_bytes: size }) => size >= minimumSize && size <= maximumSize)
      .map(keyOfResource);
    const asked = this.#sessions.asked({ ...question, isolate: isolate.name }, candidates, kernel.now);
    const limit = this.#answeredWithinMs(isolate);
    kernel.after(limit, () => {
      const isLate = asked.answeredAt === undefined && isolate.isAlive && this.#isAwaited(asked);
      if (isLate && !isolate.wasFrozen(asked.startedAt, kernel.now)) {
        this.violated("slow response", `${asked.requestId} has no answer after ${limit} ms`);
      }
    });
    return asked;
  }

  /** Clients that no longer wait. */
  readonly gone = new Set<string>();

  #isAwaited({ requestId }: Asked): boolean {
    return !this.gone.has(requestId);
  }

  #answeredWithinMs({ configuration: { lookupDeadlineMs } }: Isolate): number {
    return lookupDeadlineMs * (1 + VERIFICATION_PART) + SESSIONS_WAITED_MS + LITTLE_MS;
  }

  answered({ isolate, asked, question, status, listed, events }: Answered): void {
    const { kernel, controller, sessionTroubles, start } = this.#world;
    const { now } = kernel;
    const { requestId, session } = asked;
    const matched = listed.map(keyOfResource);
    this.counts.answers += 1;
    this.counts.matches += matched.length;
    this.answers.push({ at: asked.startedAt - start, matched });
    asked.answeredAt = now;
    asked.wasFrozen = isolate.wasFrozen(asked.startedAt, now);
    const hadTrouble = sessionTroubles.has(requestId) || asked.wasFrozen;
    asked.isUnreachable = events.has(SESSIONS_UNREACHABLE) && hadTrouble;
    if (status !== 201) {
      // The Cloud Controller refuses the whole request.
      if (status !== 403) this.violated("missed match", `${requestId} was answered ${status}`);
      return;
    }
    session.expireUncertain(asked, now);
    const sha1s = new Set(matched.map((key) => key.slice(0, 40)));
    const isBlind = events.has(MANIFEST_UNREAD) && this.#isHidden(isolate.place, asked);
    this.#judgeMatches(isolate, asked, question, matched, isBlind);
    this.#judgeMisses(isolate, asked, question, sha1s);
    this.#judgeDecisions(asked, sha1s);
    session.answered(asked, sha1s, now);
    controller.questions.delete(requestId);
  }

  /** What was decided before in a session stays so. */
  #judgeDecisions(asked: Asked, matched: ReadonlySet<string>): void {
    const { pool, kernel, settings, controller } = this.#world;
    const { session, requestId } = asked;
    const isRepeated = this.#sessions.mayBeRepeated(asked);
    const isAsked = (sha1: string) => controller.questions.get(requestId)?.has(sha1) ?? false;
    for (const sha1 of asked.candidates) {
      const { match, noMatch, isBinding, since } = asked.isUnreachable
        ? session.decidedInIsolate(asked, sha1, kernel.now)
        : session.before(asked, sha1);
      if (!isBinding || (matched.has(sha1) ? match : noMatch)) continue;
      const mayBeRejected = settings.hasCloudController && (isRepeated || isAsked(sha1));
      const mayYield = mayBeRejected || kernel.now - since >= DECIDED_MS - LITTLE_MS;
      const mayChange = match && session.isIdentified !== "yes" && mayYield;
      // The Cloud Controller can only reject what the pool lacks, and only that is removed.
      if (mayChange && pool.wasEver(sha1, false, since - REMOVED_BEFORE_MS, kernel.now)) continue;
      const [was, is] = match ? ["a match", "none"] : ["no match", "one"];
      this.violated(
        "changed decision",
        `${requestId}: ${short(sha1)} is ${is}, decided as ${was} ${clock(kernel.now - since)} ago`,
      );
    }
  }

  /** No file is matched for long that has left the pool. */
  #judgeMatches(
    isolate: Isolate,
    asked: Asked,
    { body }: Question,
    matched: readonly string[],
    isBlind: boolean,
  ): void {
    const { kernel, told, controller } = this.#world;
    const { now } = kernel;
    const { requestId, session } = asked;
    const byController = controller.matched.get(requestId);
    const keys = new Set(body.resources.map(keyOfResource));
    const ruledOut = ruledOutIn(body);
    const suspension = this.#suspension();
    const isSuspended =
      suspension !== undefined &&
      now < suspension.until &&
      now - suspension.from > MATCHED_AFTER_REMOVAL_MS + this.#lateness(isolate.place, suspension.from, now);
    for (const key of matched) {
      const sha1 = key.slice(0, 40);
      if (!keys.has(key))
        this.violated("stale match", `${requestId} matches ${short(key)}, which was not asked for`);
      if (byController?.has(sha1)) continue;
      const decision = session.before(asked, sha1);
      if (isSuspended && !decision.match) {
        this.violated("stale match", `${requestId} matches ${short(sha1)}, although the cache is suspended`);
        continue;
      }
      for (const { toldAt, isRemoval } of told.objections(sha1)) {
        const allowance = MATCHED_AFTER_REMOVAL_MS + this.#lateness(isolate.place, toldAt, now);
        if (now - toldAt <= allowance) continue;
        // Documented limits: the delta is not read for what a mode rules out, or it can't be read.
        const isUnread = isBlind || ruledOut.has(sha1);
        const isStanding = isUnread || this.#isStanding(decision, asked, isolate.place);
        if (decision.match && (!isRemoval || isStanding)) continue;
        const age =
          toldAt === -Infinity ? "never reported" : `reported ${clock(now - toldAt)} ago as removed`;
        this.violated("stale match", `${requestId} in ${isolate.name} matches ${short(sha1)}, ${age}`);
        break;
      }
    }
  }

  /** Whether a place of KV has not shown a request what is stored. */
  #isHidden(place: number, { startedAt }: Asked): boolean {
    const { weather, kernel } = this.#world;
    return weather.isHiding(place, kernel.now) || weather.readsWellSince(place, kernel.now) >= startedAt;
  }

  /** Whether a decision is final despite a removal that is known everywhere. */
  #isStanding({ latest }: Decision, { session }: Asked, place: number): boolean {
    if (session.isIdentified !== "no") return true;
    const { now } = this.#world.kernel;
    const from = Math.min(latest, now);
    return now - from <= DECIDED_MS + this.#lateness(place, from, now);
  }

  /** What is in the pool is matched, if the cache has been told, or the Cloud Controller can be asked. */
  #judgeMisses(isolate: Isolate, asked: Asked, { body }: Question, matched: ReadonlySet<string>): void {
    const { kernel, pool, controller } = this.#world;
    const { now } = kernel;
    const { requestId, session, startedAt } = asked;
    if (asked.wasFrozen || now - startedAt > CACHE_ANSWERS_WITHIN_MS) return;
    const ruledOut = ruledOutIn(body);
    const isAnswered = this.#isControllerAnswering(isolate, asked);
    const isRepeated = this.#sessions.mayBeRepeated(asked);
    for (const key of new Set(body.resources.map(keyOfResource))) {
      const sha1 = key.slice(0, 40);
      if (!asked.candidates.has(sha1) || ruledOut.has(sha1)) continue;
      if (pool.wasEver(sha1, false, startedAt, now) || session.before(asked, sha1).noMatch) continue;
      const isDue = this.#isDue(isolate, asked, key);
      if (!isDue && !isAnswered) continue;
      this.counts.due += 1;
      if (!matched.has(sha1)) {
        const why = isDue ? "reported three minutes ago" : "which a well Cloud Controller has";
        this.violated("missed match", `${requestId} in ${isolate.name} lacks ${short(key)}, ${why}`);
      } else if (isDue && !isRepeated && controller.questions.get(requestId)?.has(sha1)) {
        this.violated(
          "needless verification",
          `${requestId} in ${isolate.name} asks the Cloud Controller about ${short(key)}, which the cache knows`,
        );
      }
    }
  }

  /** Whether the cache must know a resource by now. */
  #isDue(isolate: Isolate, { startedAt }: Asked, key: string): boolean {
    const { told, weather, kernel } = this.#world;
    const { now } = kernel;
    const toldAt = told.heldSince(key);
    if (toldAt === undefined) return false;
    const since = Math.max(toldAt, weather.wellSince(isolate.place, now), this.#disturbed.lastEnd(now));
    if (since > startedAt - MATCHED_AFTER_REPORT_MS) return false;
    return isolate.configuration.keyPrefix === this.#prefix && !weather.isHiding(isolate.place, now);
  }

  /** Whether the Cloud Controller has certainly answered what the cache did not know. */
  #isControllerAnswering(isolate: Isolate, { requestId, startedAt }: Asked): boolean {
    const { settings, controller, weather, kernel } = this.#world;
    const { lookupDeadlineMs } = isolate.configuration;
    return (
      settings.hasCloudController &&
      lookupDeadlineMs >= PATIENT_DEADLINE_MS &&
      !controller.befallen.has(requestId) &&
      controller.isWell(startedAt, kernel.now) &&
      weather.readsWellSince(isolate.place, kernel.now) < startedAt
    );
  }

  /** Pages of the catalog, to be the same as what was told. */
  paged(resources: readonly string[]): void {
    const told = this.#world.told.present();
    const lacking = told.filter((key) => !resources.includes(key));
    const more = resources.filter((key) => !told.includes(key));
    for (const key of lacking)
      this.violated("lost observation", `the catalog lacks ${short(key)}, which was told to be present`);
    for (const key of more)
      this.violated("lost observation", `the catalog holds ${short(key)}, which was told to be gone`);
  }

  #lateness(place: number, from: number, until: number): number {
    if (from === -Infinity) return 0;
    return this.#world.weather.lateness(place, from, until) + this.#silent.lengthWithin(from, until);
  }

  violated(rule: Violation["rule"], text: string): void {
    const { kernel, start } = this.#world;
    kernel.note(`VIOLATION ${rule}: ${text}`);
    this.violations.push({ rule, at: kernel.now - start, text });
  }

  #time(time: number): string {
    return clock(Math.max(0, time - this.#world.start));
  }
}

/** SHA-1s of which the request has a file that its mode rules out. */
function ruledOutIn({ resources }: RequestBody): ReadonlySet<string> {
  return new Set(resources.filter((each) => !isPoolable(each)).map(({ checksum }) => checksum.value));
}

function short(key: string): string {
  return key.slice(0, 6) + key.slice(40);
}

function summary({ present = [], removed = [], sizes }: Observations): string {
  return `present ${present.map(short).join(",") || "none"}, removed ${removed.map(short).join(",") || "none"} (${sizes})`;
}
