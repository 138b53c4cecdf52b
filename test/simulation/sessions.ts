import { ANSWERED_MAX_MS } from "./limits.ts";
import { RESOURCES_PER_REQUEST, type RequestBody } from "./request-body.ts";
import { keyOfResource } from "./resources.ts";

const MINUTE_MS = 60_000;
/** After its last request an identified session ends … */
const IDENTIFIED_MS = 10 * MINUTE_MS;
/** … and after its last request of 5,000 one that all unidentified requests of a caller share. */
const UNIDENTIFIED_MS = 5 * MINUTE_MS;
/** A session that is older than this ends after a shorter pause. */
const OLD_MS = 30 * MINUTE_MS;
const OLD_PAUSE_MS = 3 * MINUTE_MS;
/** Of a session an isolate keeps the last requests. */
const ISOLATE_REQUESTS_MAX = 20;
/** The same request within this time is a suspected retry. */
const REPEATED_MS = 10 * MINUTE_MS;
/** What clocks, calls and timers take. */
const MARGIN_MS = 5_000;

type Answer = "yes" | "no" | "maybe";

/** What a session may have decided on a content. */
export interface Decision {
  match: boolean;
  noMatch: boolean;
  /** Whether it is certainly in effect. */
  isBinding: boolean;
  /** When it was made, at the earliest and at the latest; ms since the epoch. */
  since: number;
  latest: number;
}

/** A request, as the judge takes it down. */
export interface Asked {
  readonly requestId: string;
  readonly caller: string;
  readonly session: Session;
  /** The isolate's name. */
  readonly isolate: string;
  /** One of 5,000, by which decisions are recorded. */
  readonly isFull: boolean;
  /** SHA-1s of those that may match by their size. */
  readonly candidates: ReadonlySet<string>;
  readonly fingerprint: string;
  readonly startedAt: number;
  answeredAt?: number;
  /** SHA-1s that the answer lists; undefined if it has refused the request. */
  matched?: ReadonlySet<string>;
  /** It said that the session object was unreachable, which has been in trouble. */
  isUnreachable: boolean;
  /** Its isolate did nothing for a while. */
  wasFrozen: boolean;
}

const UNKNOWN: Decision = {
  match: false,
  noMatch: false,
  isBinding: false,
  since: Infinity,
  latest: -Infinity,
};

/** The requests of a caller that share decisions, as far as their answers show them. */
export class Session {
  readonly startedAt: number;
  /** Undefined where a client sends none that can be trusted. */
  readonly pushId: string | undefined;
  /** Whether its decisions never change; "maybe": where it depends on whether the object has seen a repeated request. */
  isIdentified: Answer;
  readonly requests: Asked[] = [];
  /** The request that has made it unidentified, if any: it keeps the session alive as one of 5,000 does. */
  turnedBy: Asked | undefined;
  readonly #decisions = new Map<string, Decision>();

  constructor(pushId: string | undefined, startedAt: number) {
    this.pushId = pushId;
    this.startedAt = startedAt;
    this.isIdentified = pushId === undefined ? "no" : "yes";
  }

  /** What was decided before `asked` is answered. */
  before(asked: Asked, sha1: string): Decision {
    const decision = this.#decisions.get(sha1) ?? UNKNOWN;
    // A request that is not answered, or not yet, may have decided all the same.
    const open = this.requests.filter(
      (each) => each !== asked && each.isFull && each.answeredAt === undefined && each.candidates.has(sha1),
    );
    // A request of fewer than 5,000 goes by what had been decided when it came.
    const isOverlapping = !asked.isFull && decision.isBinding && decision.latest > asked.startedAt;
    if (open.length === 0 && !isOverlapping) return decision;
    const since = Math.min(decision.since, ...open.map(({ startedAt }) => startedAt));
    return { match: true, noMatch: true, isBinding: false, since, latest: Infinity };
  }

  /** What the isolate has decided itself before, which is in effect while it can't reach the session object. */
  decidedInIsolate(asked: Asked, sha1: string, now: number): Decision {
    const full = this.requests.filter((each) => each !== asked && each.isFull);
    const own = full.filter(
      ({ isolate, answeredAt = Infinity, matched }) =>
        isolate === asked.isolate && matched && answeredAt <= asked.startedAt,
    );
    const quietMs = now - Math.max(...own.map(({ answeredAt = 0 }) => answeredAt));
    const endsAfterMs = this.pushId === undefined ? UNIDENTIFIED_MS : IDENTIFIED_MS;
    if (quietMs > endsAfterMs - MARGIN_MS || now - this.startedAt > OLD_MS - MARGIN_MS) return UNKNOWN;
    const deciding = full.filter(({ candidates }) => candidates.has(sha1));
    // Another isolate may have recorded another decision than one that was made without the object.
    const isAlone = deciding.every(({ isolate }) => isolate === asked.isolate);
    const decisions = own
      .slice(-ISOLATE_REQUESTS_MAX)
      .filter((each) => each.candidates.has(sha1) && (isAlone || !each.isUnreachable));
    if (decisions.length === 0) return UNKNOWN;
    const noMatch = decisions.some(({ matched }) => !matched?.has(sha1));
    const since = Math.min(...decisions.map(({ startedAt }) => startedAt));
    return { match: !noMatch, noMatch, isBinding: true, since, latest: now };
  }

  /** @param matched SHA-1s that the answer lists */
  answered(asked: Asked, matched: ReadonlySet<string>, now: number): void {
    asked.matched = matched;
    if (!asked.isFull) return;
    for (const sha1 of asked.candidates) {
      const before = this.before(asked, sha1);
      const isMatch = matched.has(sha1);
      const isKept = isMatch ? before.match : before.noMatch;
      const since = isKept ? before.since : asked.startedAt;
      const latest = isKept && before.isBinding ? before.latest : now;
      // The object may or may not have recorded what was decided without it.
      const isBinding = !asked.isUnreachable;
      const decided = isBinding ? { match: isMatch, noMatch: !isMatch } : { match: true, noMatch: true };
      this.#decisions.set(sha1, { ...decided, isBinding, since, latest });
    }
  }

  /** Whether the session has certainly ended before a request that comes now. */
  hasExpired(now: number): boolean {
    const latest = (requests: readonly Asked[]) =>
      Math.max(
        ...requests.map(
          ({ startedAt, answeredAt }) => answeredAt ?? Math.min(now, startedAt + ANSWERED_MAX_MS),
        ),
      );
    if (this.isIdentified === "maybe") return now - latest(this.requests) > IDENTIFIED_MS + MARGIN_MS;
    const isExtending = (each: Asked) => this.isIdentified === "yes" || each.isFull || each === this.turnedBy;
    const last = this.requests.filter(isExtending);
    const quietMs = now - latest(last);
    return quietMs > (this.isIdentified === "yes" ? IDENTIFIED_MS : UNIDENTIFIED_MS) + MARGIN_MS;
  }

  /** What may have ended before `asked` was handled binds no more, but may still be in effect. */
  expireUncertain(asked: Asked, now: number): void {
    const earlier = this.requests.filter((each) => each !== asked && each.startedAt <= asked.startedAt);
    const quietMs = (requests: readonly Asked[]) =>
      now - Math.max(-Infinity, ...requests.map(({ startedAt }) => startedAt));
    const isOld = now - this.startedAt > OLD_MS - MARGIN_MS;
    const isAlive =
      (this.isIdentified !== "yes" || quietMs(earlier) < IDENTIFIED_MS - MARGIN_MS) &&
      (this.isIdentified === "yes" ||
        quietMs(earlier.filter(({ isFull }) => isFull)) < UNIDENTIFIED_MS - MARGIN_MS) &&
      (!isOld || quietMs(earlier) < OLD_PAUSE_MS - MARGIN_MS);
    if (isAlive) return;
    for (const [sha1, decision] of this.#decisions) {
      this.#decisions.set(sha1, { ...decision, isBinding: false, latest: Infinity });
    }
  }
}

/** The sessions of all callers, as they have to be by the requests that were sent. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  readonly #asked = new Map<string, Asked[]>();

  /** @param candidates of which the size may match, `<sha1>:<size>`, in the request's order */
  asked(
    request: Pick<Asked, "requestId" | "caller" | "isolate"> & {
      pushId: string | undefined;
      body: RequestBody;
    },
    candidates: readonly string[],
    now: number,
  ): Asked {
    const { requestId, caller, isolate, pushId, body } = request;
    const name = `${caller} ${pushId ?? ""}`;
    let session = this.#sessions.get(name);
    if (!session || session.hasExpired(now)) {
      session = new Session(pushId, now);
      this.#sessions.set(name, session);
    }
    const sha1s = candidates.map((key) => key.slice(0, 40));
    const paths = body.resources.filter((each) => candidates.includes(keyOfResource(each)));
    const fingerprint = JSON.stringify([sha1s, paths.at(0)?.path, paths.at(-1)?.path]);
    const asked: Asked = {
      requestId,
      caller,
      session,
      isolate,
      isFull: body.count === RESOURCES_PER_REQUEST,
      candidates: new Set(sha1s),
      fingerprint,
      startedAt: now,
      isUnreachable: false,
      wasFrozen: false,
    };
    if (candidates.length === 0) return asked;
    this.#distrust(asked);
    session.requests.push(asked);
    const ofCaller = this.#asked.get(caller) ?? [];
    this.#asked.set(caller, ofCaller);
    ofCaller.push(asked);
    return asked;
  }

  /** An id that repeats a request is no longer that of one push alone. */
  #distrust(asked: Asked): void {
    const { session, fingerprint } = asked;
    if (session.isIdentified === "no") return;
    const earlier = session.requests.filter((each) => each.fingerprint === fingerprint);
    if (earlier.length === 0) return;
    const isSeen = earlier.some(
      ({ answeredAt, isUnreachable }) => answeredAt !== undefined && !isUnreachable,
    );
    session.isIdentified = isSeen ? "no" : "maybe";
    session.turnedBy = asked;
  }

  /** Whether the caller may have sent the same request shortly before this one arrived. */
  mayBeRepeated(asked: Asked): boolean {
    const { caller, fingerprint, startedAt } = asked;
    return (this.#asked.get(caller) ?? []).some(
      (each) =>
        each !== asked &&
        each.fingerprint === fingerprint &&
        // A frozen isolate may have asked the object long after the request came.
        startedAt - (each.answeredAt ?? startedAt) < REPEATED_MS + MARGIN_MS,
    );
  }
}
