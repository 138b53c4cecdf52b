import {
  KV_CACHE_TTL_MAX_SECONDS,
  KV_CACHE_TTL_MIN_SECONDS,
  LOOKUP_DEADLINE_MAX_MS,
} from "../platform-limits.ts";

/**
 * Durations that a guarantee depends on, in ms, and the relations between them. The relations are checked when the Worker starts.
 */
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A removed file is matched for at most this time (R1.1). */
const STALE_MATCH_MAX_MS = 3 * MINUTE_MS;

/** Workers KV shows a write everywhere within this time. Its documentation adds "or more". */
const KV_PROPAGATION_MS = 60 * SECOND_MS;
/** An alarm of a Durable Object runs for at most this time. */
const ALARM_MAX_MS = 15 * MINUTE_MS;
/** `waitUntil` keeps an invocation running for this time after its response. */
const WAIT_UNTIL_MAX_MS = 30 * SECOND_MS;
/** The longest pause of cf CLI between two requests of an app. */
const PUSH_GAP_MAX_MS = 90 * SECOND_MS;

/** Time from an observation to its publication, so that observations that come close together are published together. */
export const PUBLISHED_AFTER_MS = SECOND_MS;
/** Time between two writes of the manifest. KV allows one write per second and key, and bills each. */
export const MANIFEST_PACE_MS = 10 * SECOND_MS;
/** An unchanged manifest is rewritten after this time, which shows readers that the catalog works. */
export const MANIFEST_TOUCH_MS = HOUR_MS;
/** An older manifest does not count: the catalog has stopped publishing (R1.2). */
export const MANIFEST_TRUSTED_MS = DAY_MS;
/** A failed write of the manifest may still overwrite a later one within this time. */
export const LATE_WRITE_MS = 2 * MINUTE_MS;

/** The default of LOOKUP_DEADLINE_MS. */
export const LOOKUP_DEADLINE_DEFAULT_MS = 8 * SECOND_MS;

/** Maximum age of the manifest and delta that an isolate has cached (R1.2). */
export const MANIFEST_MAX_AGE_MS = MINUTE_MS;
/** Maximum age of the cached manifest at the start of a request, so that it still counts at the end. */
export const MANIFEST_START_MAX_AGE_MS = 45 * SECOND_MS;
/** At this age the cached manifest is renewed after a response, so that a busy isolate delays no request. */
export const MANIFEST_RENEWAL_AGE_MS = 30 * SECOND_MS;
/** A renewal may be cancelled with its request. Another one starts after this time. */
export const MANIFEST_RENEWAL_MAX_MS = 5 * SECOND_MS;

/** Superseded snapshots and deltas are kept for this time, for isolates that have an older manifest. */
export const SUPERSEDED_KEPT_MS = HOUR_MS;
/** Time from the removal of a resource to the deletion of its key. No write of the key can still land then. */
export const KEY_DELETED_AFTER_MS = 20 * MINUTE_MS;
/** Time from the deletion of a key to the end of its tombstone: a cache of KV may serve the key from its cache until then. */
export const TOMBSTONE_KEPT_MS = DAY_MS + HOUR_MS;
/** An older observation that a file is present is refused (R1.3). */
export const OBSERVATION_MAX_AGE_MS = DAY_MS;
/** Removals are kept for this time, so that a late, older observation can't undo them. */
export const REMOVAL_KEPT_MS = 2 * DAY_MS;

/** In an unidentified push session, a removal overrules a match that is older (R3.2). */
export const MATCH_FINAL_MS = STALE_MATCH_MAX_MS;
/** An identified push session ends this long after its last request. No session ends later. */
export const SESSION_IDLE_MAX_MS = 10 * MINUTE_MS;
/** An unidentified session ends this long after its last request of 5,000. Until then its pushes may miss new files. */
export const UNIDENTIFIED_SESSION_IDLE_MS = 5 * MINUTE_MS;
/** An older session ends at its next pause of SESSION_PAUSE_MS: at a fixed time it could end during a push (R3.5). */
export const SESSION_OLD_MS = 30 * MINUTE_MS;
export const SESSION_PAUSE_MS = 3 * MINUTE_MS;
/** A request that is repeated within this time is a suspected retry of a failed push (R1.7). */
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
  uaaKeys: 2_000,
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
  /** The last delta, in a new instance of the catalog. */
  deltaRead: 2_000,
  /** A write may still land later, but the next one does not wait for it. */
  kvWrite: 5_000,
};

/** The delays between the report of a removal and the last response that matches the file. */
const REMOVAL_DELAYS_MS = {
  /** With the read of the last delta, and the writes of delta and manifest. */
  publication: PUBLISHED_AFTER_MS + MANIFEST_PACE_MS + TIMEOUT_MS.deltaRead + 2 * TIMEOUT_MS.kvWrite,
  kvPropagation: KV_PROPAGATION_MS,
  kvCache: KV_CACHE_TTL_MIN_SECONDS * SECOND_MS,
  isolateCache: MANIFEST_MAX_AGE_MS,
  decision: TIMEOUT_MS.pushSessions,
};
const REMOVAL_VISIBLE_MS = Object.values(REMOVAL_DELAYS_MS).reduce((sum, ms) => sum + ms, 0);

const RELATIONS: Record<string, boolean> = {
  "a removed file is matched for at most three minutes (R1.1)": REMOVAL_VISIBLE_MS <= STALE_MATCH_MAX_MS,
  "a manifest that is fresh enough at the start of a request counts at its end":
    MANIFEST_START_MAX_AGE_MS + LOOKUP_DEADLINE_DEFAULT_MS + TIMEOUT_MS.pushSessions <= MANIFEST_MAX_AGE_MS,
  "a manifest can be renewed twice before a request has to wait for it":
    MANIFEST_RENEWAL_AGE_MS + 2 * MANIFEST_RENEWAL_MAX_MS <= MANIFEST_START_MAX_AGE_MS,
  "a manifest is rewritten many times before it no longer counts":
    10 * MANIFEST_TOUCH_MS <= MANIFEST_TRUSTED_MS,
  "a superseded object outlives every manifest that names it":
    KV_PROPAGATION_MS + KV_CACHE_TTL_MIN_SECONDS * SECOND_MS + MANIFEST_MAX_AGE_MS + TIMEOUT_MS.snapshotPart <
    SUPERSEDED_KEPT_MS,
  "a key is deleted after its last write has landed": ALARM_MAX_MS + LATE_WRITE_MS < KEY_DELETED_AFTER_MS,
  "a tombstone outlives every cached key (R1.4)":
    KV_CACHE_TTL_MAX_SECONDS * SECOND_MS + KV_PROPAGATION_MS < TOMBSTONE_KEPT_MS,
  "a removal is kept longer than an observation is accepted (R1.3)": OBSERVATION_MAX_AGE_MS < REMOVAL_KEPT_MS,
  "a removal overrules only matches that were decided before it was visible everywhere (R3.2)":
    REMOVAL_VISIBLE_MS <= MATCH_FINAL_MS,
  "no session ends between two requests of an app (R3.5)":
    PUSH_GAP_MAX_MS + (LOOKUP_DEADLINE_MAX_MS * 5) / 4 + 2 * TIMEOUT_MS.pushSessions < SESSION_PAUSE_MS,
  "an old session ends sooner than a young one": SESSION_PAUSE_MS < UNIDENTIFIED_SESSION_IDLE_MS,
  "work after a response ends while waitUntil keeps the invocation running":
    TIMEOUT_MS.afterResponse + TIMEOUT_MS.catalog < WAIT_UNTIL_MAX_MS,
  "a retry is recognised for as long as any session lasts (R1.7)": RETRY_MS >= SESSION_IDLE_MAX_MS,
};

for (const [relation, holds] of Object.entries(RELATIONS)) {
  if (!holds) throw new Error(`The durations in time-guarantees.ts violate a guarantee: ${relation}.`);
}
