import {
  KV_CACHE_TTL_MAX_SECONDS,
  KV_CACHE_TTL_MIN_SECONDS,
  LOOKUP_DEADLINE_MAX_MS,
} from "../platform-limits.ts";

/**
 * Every duration that a promise about time depends on, in ms, and the relations between them. They are checked when the Worker starts:
 * whoever changes one learns which promise it breaks.
 */
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A removed file is not matched any more after this time. */
const REMOVAL_KNOWN_MS = 3 * MINUTE_MS;

/** Workers KV shows a write everywhere within this time, by its documentation "or more". */
const KV_PROPAGATION_MS = 60 * SECOND_MS;
/** An alarm of a Durable Object runs for at most this time. */
const ALARM_MAX_MS = 15 * MINUTE_MS;
/** `waitUntil` keeps an invocation running for this time after its response. */
const WAIT_UNTIL_MAX_MS = 30 * SECOND_MS;
/** cf CLI pauses for less between two requests of an app. */
const PUSH_GAP_MAX_MS = 90 * SECOND_MS;

/** The catalog publishes this long after an observation: those that come close together are published together. */
export const PUBLISHED_AFTER_MS = SECOND_MS;
/** Between two writes of the manifest: KV takes one write a second to a key, and each costs. */
export const MANIFEST_PACE_MS = 10 * SECOND_MS;
/** The manifest is written again after this time although nothing changed: so readers see that the catalog still publishes. */
export const MANIFEST_TOUCH_MS = HOUR_MS;
/** A manifest that is older counts no more: nobody publishes. */
export const MANIFEST_TRUSTED_MS = DAY_MS;
/** A write of the manifest that failed or was cut off may still land, over a later one, within this time. */
export const LATE_WRITE_MS = 2 * MINUTE_MS;

/** The default of LOOKUP_DEADLINE_MS. */
export const LOOKUP_DEADLINE_DEFAULT_MS = 8 * SECOND_MS;

/** The age at which an isolate's cached manifest and delta count no more. */
export const MANIFEST_MAX_AGE_MS = MINUTE_MS;
/** A request starts with a cached manifest of at most this age: it still counts when the request ends. */
export const MANIFEST_START_MAX_AGE_MS = 45 * SECOND_MS;
/** From this age on the cached manifest is renewed after a response, so that an isolate in use never delays a request. */
export const MANIFEST_RENEWAL_AGE_MS = 30 * SECOND_MS;
/** A renewal after a response may be cancelled with its request: another one starts after this time. */
export const MANIFEST_RENEWAL_MAX_MS = 5 * SECOND_MS;

/** A superseded snapshot or delta is deleted after this time: an isolate that has read an older manifest still reads what that names. */
export const SUPERSEDED_KEPT_MS = HOUR_MS;
/** A key is deleted this long after its resource was removed, when no write of it can land any more. */
export const KEY_DELETED_AFTER_MS = 20 * MINUTE_MS;
/** A tombstone is kept this long after the key was deleted: a place of KV may serve the key from its cache until then. */
export const TOMBSTONE_KEPT_MS = DAY_MS + HOUR_MS;
/** An observation that a file is present is not believed if it is older. */
export const OBSERVATION_MAX_AGE_MS = DAY_MS;
/** Removals are remembered for this time, so that an older observation that arrives late can't undo one. */
export const REMOVAL_REMEMBERED_MS = 2 * DAY_MS;

/** In an unidentified push session a match that is older than this yields to a removal. */
export const MATCH_FINAL_MS = REMOVAL_KNOWN_MS;
/** An identified push session ends this long after its last request, and no session ends later. */
export const SESSION_IDLE_MAX_MS = 10 * MINUTE_MS;
/** An unidentified one ends this long after its last request of 5,000: until then its pushes may not see what others uploaded. */
export const UNIDENTIFIED_SESSION_IDLE_MS = 5 * MINUTE_MS;
/** A session that is older than this ends in the next pause: at a fixed time it could end between two requests of an app. */
export const SESSION_OLD_MS = 30 * MINUTE_MS;
export const SESSION_PAUSE_MS = 3 * MINUTE_MS;
/** The same request within this time most likely comes from a push that failed and is tried again. */
export const RETRY_MS = 10 * MINUTE_MS;

/**
 * Timeouts for calls that leave the isolate, in ms (R2.2). A call that takes longer has failed. Key reads and the Cloud
 * Controller's matches share the deadline of the look-up instead, LOOKUP_DEADLINE_MS. A request that is passed through has no
 * timeout: the client and the Cloud Controller have their own.
 */
export const TIMEOUT_MS = {
  /** Every request waits for it, and continues without it. */
  rateLimiter: 500,
  /** Without the decisions of its push a request may lose a file, which is worse than two seconds. */
  pushSessions: 2_000,
  /** Includes connecting; at most 1 MB. */
  uaaKeys: 5_000,
  /** All requests to the Cloud Controller after a response. */
  afterResponse: 18_000,
  /** 50,000 observations take a second, and may wait for others. */
  catalog: 10_000,
  /** For one blob. The event is retried. */
  bucketHead: 10_000,
  /** Manifest and delta, after a response. Before one, the deadline of the look-up ends first. */
  manifest: 20_000,
  /** A part of 8 MB. */
  snapshotPart: 30_000,
  /** A write may still land later, but the next one does not wait for it. */
  kvWrite: 5_000,
};

/** What passes at most between the report of a removal and the last response that matches the file. */
const REMOVAL_DELAYS_MS = {
  published: PUBLISHED_AFTER_MS + MANIFEST_PACE_MS + TIMEOUT_MS.kvWrite,
  shownByKv: KV_PROPAGATION_MS,
  cachedByKv: KV_CACHE_TTL_MIN_SECONDS * SECOND_MS,
  cachedByIsolate: MANIFEST_MAX_AGE_MS,
  decided: TIMEOUT_MS.pushSessions,
};

const sum = (delays: Record<string, number>) => Object.values(delays).reduce((all, ms) => all + ms, 0);

const RELATIONS: Record<string, boolean> = {
  "a removed file is matched for at most three minutes": sum(REMOVAL_DELAYS_MS) <= REMOVAL_KNOWN_MS,
  "a request that starts with the oldest manifest ends while that counts":
    MANIFEST_START_MAX_AGE_MS + LOOKUP_DEADLINE_DEFAULT_MS + TIMEOUT_MS.pushSessions <= MANIFEST_MAX_AGE_MS,
  "a manifest is renewed twice before a request would have to wait for it":
    MANIFEST_RENEWAL_AGE_MS + 2 * MANIFEST_RENEWAL_MAX_MS <= MANIFEST_START_MAX_AGE_MS,
  "a manifest is written again many times before it counts no more":
    10 * MANIFEST_TOUCH_MS <= MANIFEST_TRUSTED_MS,
  "a superseded value outlives every manifest that names it":
    KV_PROPAGATION_MS + KV_CACHE_TTL_MIN_SECONDS * SECOND_MS + MANIFEST_MAX_AGE_MS + TIMEOUT_MS.snapshotPart <
    SUPERSEDED_KEPT_MS,
  "a key is deleted after its last write has landed": ALARM_MAX_MS + LATE_WRITE_MS < KEY_DELETED_AFTER_MS,
  "a tombstone outlives every cached key":
    KV_CACHE_TTL_MAX_SECONDS * SECOND_MS + KV_PROPAGATION_MS < TOMBSTONE_KEPT_MS,
  "a removal is remembered longer than an observation is believed":
    OBSERVATION_MAX_AGE_MS < REMOVAL_REMEMBERED_MS,
  "a match yields only to a removal that is known everywhere": sum(REMOVAL_DELAYS_MS) <= MATCH_FINAL_MS,
  "no session ends between two requests of an app":
    PUSH_GAP_MAX_MS + (LOOKUP_DEADLINE_MAX_MS * 5) / 4 + 2 * TIMEOUT_MS.pushSessions < SESSION_PAUSE_MS,
  "an old session ends sooner than a young one": SESSION_PAUSE_MS < UNIDENTIFIED_SESSION_IDLE_MS,
  "work after a response ends while waitUntil keeps the invocation running":
    TIMEOUT_MS.afterResponse + TIMEOUT_MS.catalog < WAIT_UNTIL_MAX_MS,
  "a retry is recognised for as long as any session lasts": RETRY_MS >= SESSION_IDLE_MAX_MS,
};

for (const [promise, holds] of Object.entries(RELATIONS)) {
  if (!holds) throw new Error(`The durations in time-guarantees.ts break a promise: ${promise}.`);
}
