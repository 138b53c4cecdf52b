import { CLIENT_TIMEOUT_MS } from "./limits.ts";
import { RESOURCES_PER_REQUEST, type RequestBody } from "./request-body.ts";
import { keyOfResource } from "./resources.ts";

const MINUTE_MS = 60_000;
/** An identified session ends this long after its last request. */
const IDENTIFIED_IDLE_MS = 10 * MINUTE_MS;
/** An unidentified session ends this long after its last request of 5,000 resources. */
const UNIDENTIFIED_IDLE_MS = 5 * MINUTE_MS;
/** A session that is older than this ends after a shorter pause. */
const OLD_MS = 30 * MINUTE_MS;
const OLD_IDLE_MS = 3 * MINUTE_MS;
/** An isolate keeps the decisions of this many requests of a session. */
const ISOLATE_REQUESTS_MAX = 20;
/** A repeated request within this time is a suspected retry. */
const RETRY_MS = 10 * MINUTE_MS;
/** For clocks, calls and timers. */
const MARGIN_MS = 5_000;

/** What a session can have decided for a content. */
export interface Decision {
  match: boolean;
  noMatch: boolean;
  /** Whether the decision certainly is in effect. */
  isBinding: boolean;
  /** When it was made, at the earliest and at the latest; ms since the epoch. */
  since: number;
  latest: number;
}

/** A request, and what the checker has observed of it. */
export interface RequestRecord {
  readonly requestId: string;
  readonly caller: string;
  readonly session: SessionModel;
  /** The isolate's name. */
  readonly isolate: string;
  /** Whether it has 5,000 resources: only such requests store decisions. */
  readonly isFull: boolean;
  /** SHA-1s of the resources whose size is within the limits. */
  readonly candidates: ReadonlySet<string>;
  readonly fingerprint: string;
  /** The number of the key of UAA that its token names. */
  readonly tokenKey: number;
  readonly startedAt: number;
  respondedAt?: number;
  status?: number;
  /** "open": there is no response yet. "passed-through": the Cloud Controller has responded in place of the Worker. */
  outcome: "open" | "matched" | "passed-through" | "failed";
  /** SHA-1s that the response lists; undefined if the request failed. */
  matched?: ReadonlySet<string>;
  /** It has logged that the session object was unreachable, and a call to that had a fault. */
  isUnreachable: boolean;
  /** Its isolate was frozen for some time. */
  wasFrozen: boolean;
}

const UNDECIDED: Decision = {
  match: false,
  noMatch: false,
  isBinding: false,
  since: Infinity,
  latest: -Infinity,
};

/** A push session: the requests of a caller that share decisions, as far as their responses show the decisions. */
export class SessionModel {
  readonly startedAt: number;
  readonly pushId: string | undefined;
  /** "maybe": a request was repeated, and it is unknown whether the session object has stored the first. */
  isIdentified: "yes" | "no" | "maybe";
  readonly requests: RequestRecord[] = [];
  /** The repeated request that made the session unidentified: it extends the session like a request of 5,000. */
  repeatedRequest: RequestRecord | undefined;
  readonly #decisions = new Map<string, Decision>();

  constructor(pushId: string | undefined, startedAt: number) {
    this.pushId = pushId;
    this.startedAt = startedAt;
    this.isIdentified = pushId === undefined ? "no" : "yes";
  }

  /** The decision that was made before the response to `record`. */
  decisionBefore(record: RequestRecord, sha1: string): Decision {
    const decision = this.#decisions.get(sha1) ?? UNDECIDED;
    // A request that has no response yet, or none at all, or that failed may have decided.
    const open = this.requests.filter(
      (each) =>
        each !== record &&
        each.isFull &&
        (each.outcome === "open" || each.outcome === "failed") &&
        each.candidates.has(sha1),
    );
    // A request of fewer than 5,000 uses the decisions from its start.
    const isOverlapping = !record.isFull && decision.isBinding && decision.latest > record.startedAt;
    if (open.length === 0 && !isOverlapping) return decision;
    const since = Math.min(decision.since, ...open.map(({ startedAt }) => startedAt));
    return { match: true, noMatch: true, isBinding: false, since, latest: Infinity };
  }

  /** R3.6: the isolate's own earlier decision, which counts while it can't reach the session object. */
  decisionOfIsolate(record: RequestRecord, sha1: string, now: number): Decision {
    const full = this.requests.filter((each) => each !== record && each.isFull);
    const own = full.filter(
      ({ isolate, respondedAt = Infinity, matched }) =>
        isolate === record.isolate && matched && respondedAt <= record.startedAt,
    );
    const idleMs = now - Math.max(...own.map(({ respondedAt = 0 }) => respondedAt));
    const idleMaxMs = this.pushId === undefined ? UNIDENTIFIED_IDLE_MS : IDENTIFIED_IDLE_MS;
    if (idleMs > idleMaxMs - MARGIN_MS || now - this.startedAt > OLD_MS - MARGIN_MS) return UNDECIDED;
    const deciding = full.filter(({ candidates }) => candidates.has(sha1));
    // Another isolate may have stored another decision than one that was made without the object.
    const isAlone = deciding.every(({ isolate }) => isolate === record.isolate);
    const decisions = own
      .slice(-ISOLATE_REQUESTS_MAX)
      .filter((each) => each.candidates.has(sha1) && (isAlone || !each.isUnreachable));
    if (decisions.length === 0) return UNDECIDED;
    const noMatch = decisions.some(({ matched }) => !matched?.has(sha1));
    const since = Math.min(...decisions.map(({ startedAt }) => startedAt));
    return { match: !noMatch, noMatch, isBinding: true, since, latest: now };
  }

  /** @param matched SHA-1s that the response lists */
  noteResponse(record: RequestRecord, matched: ReadonlySet<string>, now: number): void {
    record.matched = matched;
    if (!record.isFull) return;
    for (const sha1 of record.candidates) {
      const before = this.decisionBefore(record, sha1);
      const isMatch = matched.has(sha1);
      const isUnchanged = isMatch ? before.match : before.noMatch;
      const since = isUnchanged ? before.since : record.startedAt;
      const latest = isUnchanged && before.isBinding ? before.latest : now;
      // A decision that was made without the object may or may not be stored.
      const isBinding = !record.isUnreachable;
      const decided = isBinding ? { match: isMatch, noMatch: !isMatch } : { match: true, noMatch: true };
      this.#decisions.set(sha1, { ...decided, isBinding, since, latest });
    }
  }

  /** The request may not have reached the session object. */
  noteFailure(record: RequestRecord): void {
    if (this.pushId !== undefined && this.repeatedRequest === record) this.isIdentified = "maybe";
  }

  /** Whether the session has certainly ended before a request that is sent now. */
  hasExpired(now: number): boolean {
    const latest = (requests: readonly RequestRecord[]) =>
      Math.max(
        ...requests.map(
          ({ startedAt, respondedAt }) => respondedAt ?? Math.min(now, startedAt + CLIENT_TIMEOUT_MS),
        ),
      );
    if (this.isIdentified === "maybe") return now - latest(this.requests) > IDENTIFIED_IDLE_MS + MARGIN_MS;
    const isExtending = (each: RequestRecord) =>
      this.isIdentified === "yes" || each.isFull || each === this.repeatedRequest;
    const idleMs = now - latest(this.requests.filter(isExtending));
    return idleMs > (this.isIdentified === "yes" ? IDENTIFIED_IDLE_MS : UNIDENTIFIED_IDLE_MS) + MARGIN_MS;
  }

  /** If the session may have ended before `record`, its decisions are not binding, but may still be in effect. */
  expireUncertain(record: RequestRecord, now: number): void {
    const earlier = this.requests.filter(
      (each) =>
        each !== record &&
        each.startedAt <= record.startedAt &&
        (each.outcome === "open" || each.outcome === "matched"),
    );
    const idleMs = (requests: readonly RequestRecord[]) =>
      now - Math.max(-Infinity, ...requests.map(({ startedAt }) => startedAt));
    const isOld = now - this.startedAt > OLD_MS - MARGIN_MS;
    const isAlive =
      (this.isIdentified !== "yes" || idleMs(earlier) < IDENTIFIED_IDLE_MS - MARGIN_MS) &&
      (this.isIdentified === "yes" ||
        idleMs(earlier.filter(({ isFull }) => isFull)) < UNIDENTIFIED_IDLE_MS - MARGIN_MS) &&
      (!isOld || idleMs(earlier) < OLD_IDLE_MS - MARGIN_MS);
    if (isAlive) return;
    for (const [sha1, decision] of this.#decisions) {
      this.#decisions.set(sha1, { ...decision, isBinding: false, latest: Infinity });
    }
  }
}

/** The sessions of all callers. */
export class SessionModels {
  readonly #sessions = new Map<string, SessionModel>();
  readonly #requestsByCaller = new Map<string, RequestRecord[]>();

  /**
   * A request is sent.
   *
   * @param candidates `<sha1>:<size>` of the resources whose size is within the limits, in the request's order
   */
  add(
    request: Pick<RequestRecord, "requestId" | "caller" | "isolate"> & {
      pushId: string | undefined;
      body: RequestBody;
      tokenKey: number;
    },
    candidates: readonly string[],
    now: number,
  ): RequestRecord {
    const { requestId, caller, isolate, pushId, body, tokenKey } = request;
    const name = `${caller} ${pushId ?? ""}`;
    let session = this.#sessions.get(name);
    if (!session || session.hasExpired(now)) {
      session = new SessionModel(pushId, now);
      this.#sessions.set(name, session);
    }
    const sha1s = candidates.map((key) => key.slice(0, 40));
    const paths = body.resources.filter((each) => candidates.includes(keyOfResource(each)));
    const record: RequestRecord = {
      requestId,
      caller,
      session,
      isolate,
      isFull: body.count === RESOURCES_PER_REQUEST,
      candidates: new Set(sha1s),
      fingerprint: JSON.stringify([sha1s, paths.at(0)?.path, paths.at(-1)?.path]),
      tokenKey,
      startedAt: now,
      outcome: "open",
      isUnreachable: false,
      wasFrozen: false,
    };
    if (candidates.length === 0) return record;
    this.#detectRepeatedRequest(record);
    session.requests.push(record);
    const ofCaller = this.#requestsByCaller.get(caller) ?? [];
    this.#requestsByCaller.set(caller, ofCaller);
    ofCaller.push(record);
    return record;
  }

  /** A push id that repeats a request does not identify a single push. */
  #detectRepeatedRequest(record: RequestRecord): void {
    const { session, fingerprint } = record;
    if (session.isIdentified === "no") return;
    const earlier = session.requests.filter((each) => each.fingerprint === fingerprint);
    if (earlier.length === 0) return;
    const isStored = earlier.some(({ outcome, isUnreachable }) => outcome === "matched" && !isUnreachable);
    session.isIdentified = isStored ? "no" : "maybe";
    session.repeatedRequest = record;
  }

  /** Whether the caller may have sent the same request shortly before. */
  mayBeRepeated(record: RequestRecord): boolean {
    const { caller, fingerprint, startedAt } = record;
    return (this.#requestsByCaller.get(caller) ?? []).some(
      (each) =>
        each !== record &&
        each.fingerprint === fingerprint &&
        // A frozen isolate may call the object long after the request was sent.
        startedAt - (each.respondedAt ?? startedAt) < RETRY_MS + MARGIN_MS,
    );
  }
}
