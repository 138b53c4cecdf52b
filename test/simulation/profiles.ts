import type { Action } from "./schedule.ts";

export type ActionType = Action["type"];

/** What the schedules of a profile are drawn from. */
export interface Profile {
  /** How often each action is drawn, relative to the others. */
  weights: Partial<Record<ActionType, number>>;
  operations: [minimum: number, maximum: number];
  /** Whether the pool is stored in an R2 bucket; undefined: drawn. */
  hasBucket?: boolean;
  /** Whether a Cloud Controller is configured; undefined: drawn. */
  hasCloudController?: boolean;
  queueBacklogMs: number;
  /** The probability that an acknowledged message is delivered again. */
  queueDuplicates: number;
  /** The share of pushes during which the Worker fails, if there is a Cloud Controller. */
  failures?: number;
  /** Whether some schedules exhaust the daily KV quota of the free plan. */
  isKvScarce?: boolean;
}

const POOL: Profile["weights"] = { request: 8, put: 5, delete: 4, add: 5, remove: 4, sync: 1 };
const HOUR_MS = 3_600_000;

/** The seeds in mutations.ts depend on the names and on the order of the weights: they seed the generator. */
export const PROFILES = {
  /** No faults. The platform is as slow as it may be. */
  healthy: {
    weights: POOL,
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0,
  },
  /** KV refuses writes and propagates them late; its reads fail, hang or are slow. */
  "degraded-kv": {
    weights: { ...POOL, "kv-reads": 2, "kv-writes": 2, "kv-lag": 2, publish: 0.3 },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
    isKvScarce: true,
  },
  /** The catalog crashes during its work, and calls to it are lost. */
  restarts: {
    weights: {
      ...POOL,
      "crash-catalog": 6,
      "catalog-calls": 2,
      "alarms-paused": 1,
      publish: 0.5,
      forget: 0.2,
    },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
  },
  /** The bucket's events are days late, duplicated and out of order; `head` fails. */
  "queue-chaos": {
    weights: { request: 8, put: 9, delete: 9, bucket: 2, "catalog-calls": 1, "crash-catalog": 1, kill: 1 },
    operations: [6, 22],
    hasBucket: true,
    queueBacklogMs: 60 * HOUR_MS,
    queueDuplicates: 0.3,
  },
  /** Isolates freeze between two awaits, are evicted and handle concurrent requests. */
  isolates: {
    weights: { ...POOL, request: 12, freeze: 5, kill: 3, "kv-reads": 2, "cloud-controller": 2 },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0,
  },
  /** The operator syncs, reports late, forgets, changes KEY_PREFIX and changes it back. */
  operator: {
    weights: { ...POOL, add: 6, remove: 6, sync: 5, publish: 1, forget: 0.7, deploy: 1.5 },
    operations: [6, 22],
    queueBacklogMs: 10 * 60_000,
    queueDuplicates: 0.1,
  },
  /** Pushes of several requests, with faults in some requests, while the pool loses files. */
  pushes: {
    weights: {
      push: 12,
      lose: 5,
      request: 1,
      put: 1,
      delete: 1,
      add: 2,
      remove: 1,
      sync: 0.5,
      publish: 0.5,
      "crash-catalog": 0.5,
      "catalog-calls": 0.5,
      "cloud-controller": 1.5,
      "kv-reads": 1,
      "kv-manifest-miss": 0.3,
      "kv-writes": 0.7,
      "kv-lag": 0.7,
      "session-calls": 1.5,
      "crash-sessions": 1.5,
      deploy: 0.5,
    },
    operations: [2, 6],
    hasCloudController: true,
    failures: 0.1,
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
  },
  /** Pushes during which the Worker throws, is misconfigured or gets no keys from UAA. */
  "fail-open": {
    weights: {
      push: 12,
      lose: 1,
      request: 3,
      put: 1,
      add: 2,
      "cloud-controller": 1,
      "session-calls": 1,
      "crash-sessions": 0.5,
      deploy: 0.5,
      freeze: 0.5,
    },
    operations: [2, 6],
    hasCloudController: true,
    failures: 0.8,
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
  },
  everything: {
    weights: {
      ...POOL,
      request: 12,
      push: 3,
      lose: 1,
      "session-calls": 0.7,
      "crash-sessions": 0.7,
      sync: 2,
      publish: 0.3,
      forget: 0.2,
      deploy: 0.5,
      freeze: 1.5,
      kill: 1.5,
      "crash-catalog": 2,
      "catalog-calls": 1,
      "alarms-paused": 0.4,
      "kv-reads": 1,
      "kv-manifest-miss": 0.5,
      "kv-writes": 1,
      "kv-lag": 1,
      "cloud-controller": 1,
      bucket: 1,
    },
    operations: [8, 30],
    failures: 0.25,
    queueBacklogMs: 30 * HOUR_MS,
    queueDuplicates: 0.2,
    isKvScarce: true,
  },
} satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
