import { TOKEN_MAX_MS } from "./limits.ts";
import { BUG_MESSAGE } from "./platform/bugs.ts";
import type { Isolate, MatchReply } from "./platform/isolate.ts";
import type { RequestBody } from "./request-body.ts";
import type { RequestRecord } from "./session-model.ts";
import type { World } from "./world.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
/** The Cloud Controller responds to all requests of a push that come within this time after the last one to which it has. */
const STICKY_MS = 10 * MINUTE_MS;
/** An isolate keeps its decisions for this time at least … */
const DECISIONS_KEPT_MS = 3 * MINUTE_MS;
/** … of this many sessions. */
const KEPT_SESSIONS_MAX = 8;
/** If an isolate has older keys of UAA, it fetches a new one only so long after it has fetched them. */
const NEW_KEY_MS = 30 * SECOND_MS;
/** For calls, timers and waiting for the work of other requests. */
const MARGIN_MS = 2 * SECOND_MS;
/** Events of exceptions that the Worker has caught. */
const EXCEPTIONS = ["unexpected", "token-unreadable", "telemetry-failed"];

/** Checks which requests fail, and to which of them the Cloud Controller responds in place of the Worker (R2.6, R3.8). */
export class FailOpenChecker {
  readonly #world: World;
  readonly #requests: RequestRecord[] = [];
  readonly counts = { passedThrough: 0, pushAgain: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  noteRequest(record: RequestRecord): void {
    this.#requests.push(record);
  }

  /** Sets the outcome of a request, and checks it. */
  checkOutcome(record: RequestRecord, body: RequestBody, isolate: Isolate, reply: MatchReply): void {
    const { checker, controller } = this.#world;
    const { requestId } = record;
    const { status, lines } = reply;
    for (const { event, cause } of lines) {
      if (!EXCEPTIONS.includes(event) || cause === `Error: ${BUG_MESSAGE}`) continue;
      checker.violated("exception", `${requestId} throws ${cause}`);
    }
    const isPassedThrough = controller.passedThrough.has(requestId);
    record.status = status;
    record.outcome = isPassedThrough ? "passed-through" : status === 201 ? "matched" : "failed";
    if (record.outcome === "matched") this.#checkMatched(record, isolate);
    else if (isPassedThrough) {
      this.#checkPassThrough(record, body, reply);
      this.#checkCause(record, isolate);
    } else this.#checkFailed(record, isolate);
  }

  /** R3.8: an isolate does not match resources after it has failed open for an identified push. */
  #checkMatched(record: RequestRecord, isolate: Isolate): void {
    const { checker } = this.#world;
    if (isolate.isMisconfigured) {
      checker.violated("wrong pass-through", `${record.requestId} is matched by a misconfigured isolate`);
    }
    const earlier = this.#requestsOfPush(record, record.isolate).find(
      ({ session, outcome, status, respondedAt = Infinity }) =>
        session.pushId !== undefined &&
        outcome === "passed-through" &&
        status === 201 &&
        respondedAt <= record.startedAt &&
        this.#ageOf(respondedAt) < STICKY_MS - MARGIN_MS,
    );
    if (!earlier) return;
    checker.violated(
      "wrong pass-through",
      `${record.isolate} matches ${record.requestId}, and the Cloud Controller responded to ${earlier.requestId}`,
    );
  }

  /** R2.6: request and response are unchanged, and the request does not wait for long. */
  #checkPassThrough(record: RequestRecord, body: RequestBody, { status, text }: MatchReply): void {
    const { checker, controller, thrown } = this.#world;
    const { requestId, startedAt } = record;
    this.counts.passedThrough += 1;
    const passedThrough = controller.passedThrough.get(requestId);
    if (passedThrough?.request !== new TextDecoder().decode(body.bytes())) {
      checker.violated("wrong pass-through", `${requestId} reaches the Cloud Controller changed`);
    }
    if (text !== undefined && text !== passedThrough?.response) {
      checker.violated("wrong pass-through", `${requestId} gets the Cloud Controller's response changed`);
    }
    if ((status >= 400 || text === undefined) && !controller.hadFault(record)) {
      checker.violated(
        "failed push",
        `${requestId} has status ${status}, and the Cloud Controller has no fault`,
      );
    }
    const ms = (passedThrough?.at ?? 0) - startedAt;
    if (ms > TOKEN_MAX_MS + MARGIN_MS && !thrown.has(requestId) && !record.wasFrozen) {
      checker.violated("slow response", `${requestId} reaches the Cloud Controller after ${ms} ms`);
    }
  }

  /** R3.8: the Worker has failed, and the isolate knows no decisions of the push. */
  #checkCause(record: RequestRecord, isolate: Isolate): void {
    const { checker } = this.#world;
    const { requestId } = record;
    if (!this.#hasCause(record, isolate)) {
      checker.violated("wrong pass-through", `the Cloud Controller responds to ${requestId} without a cause`);
    }
    const decided = this.#requestsOfPush(record).find(
      (other) =>
        other.session === record.session &&
        other.outcome === "matched" &&
        hasStored(other) &&
        (other.respondedAt ?? Infinity) <= record.startedAt &&
        (other.isolate === record.isolate ? this.#isKept(other) : this.#isReturned(other, record)),
    );
    if (!decided || !this.#isSessionKnown(record)) return;
    checker.violated(
      "wrong pass-through",
      `the Cloud Controller responds to ${requestId}, and ${decided.isolate} has decided ${decided.requestId}`,
    );
  }

  /** R2.6: without a Cloud Controller a failure fails the push, with one only if it can't respond (R3.8). */
  #checkFailed(record: RequestRecord, isolate: Isolate): void {
    const { checker, controller, settings } = this.#world;
    const { requestId, status } = record;
    if (status === 409) this.counts.pushAgain += 1;
    // The Cloud Controller has refused the look-up.
    if (status === 403 && controller.hadFault(record)) return;
    const mayFail = !settings.hasCloudController || (status === 409 && this.#mayKnowDecisions(record));
    if (mayFail && this.#hasCause(record, isolate)) return;
    checker.violated(
      "failed push",
      `${requestId} has status ${status}, although the Cloud Controller could respond`,
    );
  }

  /** Whether a simulated failure of the Worker or of UAA affects a request. */
  #hasCause(record: RequestRecord, isolate: Isolate): boolean {
    const { controller, thrown, kernel } = this.#world;
    if (isolate.isMisconfigured || thrown.has(record.requestId)) return true;
    const hasFailedOpen = this.#requestsOfPush(record, record.isolate).some(
      ({ requestId, session, status = 201, respondedAt = kernel.now }) =>
        session.pushId !== undefined &&
        status === 201 &&
        controller.passedThrough.has(requestId) &&
        this.#ageOf(respondedAt) < STICKY_MS + MARGIN_MS,
    );
    return hasFailedOpen || this.#mayLackKey(record, isolate);
  }

  /** Whether an isolate may lack the key of a token: it has not verified one with this key, and can't get it from UAA. */
  #mayLackKey({ tokenKey, startedAt, isolate: name }: RequestRecord, isolate: Isolate): boolean {
    const { uaa, kernel } = this.#world;
    const hasKey = this.#requests.some(
      (other) =>
        other.isolate === name &&
        other.outcome === "matched" &&
        other.tokenKey >= tokenKey &&
        (other.respondedAt ?? Infinity) <= startedAt,
    );
    if (hasKey) return false;
    const since = startedAt - (tokenKey > 1 ? NEW_KEY_MS : TOKEN_MAX_MS) - MARGIN_MS;
    const isKeyNew = tokenKey > 1 && uaa.keySince >= since;
    return isKeyNew || uaa.failedAt(isolate) >= since || isolate.wasFrozen(since, kernel.now);
  }

  /**
   * Whether an isolate may know decisions of a push: it has made some, even in this request, or the session object may have
   * returned some.
   */
  #mayKnowDecisions(record: RequestRecord): boolean {
    const ofPush = this.#requestsOfPush(record);
    const hasCalledObject =
      ["after-lookup", "after-decision"].includes(this.#world.thrown.get(record.requestId) ?? "") ||
      ofPush.some(({ isolate, outcome }) => isolate === record.isolate && outcome !== "passed-through");
    const mayHaveStored = ofPush.some(
      (other) => other.outcome !== "passed-through" && hasStored(other) && hasCalledObject,
    );
    return (
      mayHaveStored || (this.#world.thrown.get(record.requestId) === "after-decision" && hasStored(record))
    );
  }

  /** Other requests of a push. If it is identified, they may be of another caller: a push id is known before the caller. */
  #requestsOfPush({ session, requestId }: RequestRecord, isolate?: string): RequestRecord[] {
    return this.#requests.filter(
      (other) =>
        other.requestId !== requestId &&
        (isolate === undefined || other.isolate === isolate) &&
        (session.pushId === undefined ? other.session === session : other.session.pushId === session.pushId),
    );
  }

  /** Whether the isolate certainly still keeps the decisions of a request. */
  #isKept({ isolate, respondedAt = -Infinity }: RequestRecord): boolean {
    const later = this.#requests.filter(
      (other) => other.isolate === isolate && (other.respondedAt ?? Infinity) >= respondedAt,
    );
    const sessions = new Set(later.map(({ session }) => session));
    return this.#ageOf(respondedAt) < DECISIONS_KEPT_MS - MARGIN_MS && sessions.size < KEPT_SESSIONS_MAX;
  }

  /** Whether the session object has certainly returned the decisions of a request to a later one before that failed. */
  #isReturned({ isUnreachable, respondedAt = -Infinity }: RequestRecord, later: RequestRecord): boolean {
    const isObjectCalled = later.candidates.size > 0 && !later.isUnreachable && !later.wasFrozen;
    return (
      this.#world.thrown.get(later.requestId) === "after-decision" &&
      isObjectCalled &&
      !isUnreachable &&
      this.#ageOf(respondedAt) < DECISIONS_KEPT_MS - MARGIN_MS
    );
  }

  /** Whether the isolate knew the session when it failed: the push id, or the caller of an unidentified push. */
  #isSessionKnown({ session, requestId }: RequestRecord): boolean {
    const bug = this.#world.thrown.get(requestId);
    return session.pushId !== undefined || (bug !== undefined && bug !== "in-authentication");
  }

  #ageOf(time: number): number {
    return this.#world.kernel.now - time;
  }
}

/** Whether a request stores decisions. */
function hasStored({ isFull, candidates }: RequestRecord): boolean {
  return isFull && candidates.size > 0;
}
