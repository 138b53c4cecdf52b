import type { Deed } from "./schedule.ts";

export type DeedName = Deed["do"];

/** What the schedules of a kind are about. */
export interface Profile {
  /** How often each deed is drawn. */
  weights: Partial<Record<DeedName, number>>;
  operations: [minimum: number, maximum: number];
  /** Whether the pool lies in a bucket, and whether a Cloud Controller is set; undefined: by chance. */
  hasBucket?: boolean;
  hasCloudController?: boolean;
  queueBacklogMs: number;
  queueDuplicates: number;
  /** A free plan's KV may be spent within a day. */
  isKvScarce?: boolean;
}

const POOL: Profile["weights"] = { ask: 8, put: 5, delete: 4, add: 5, remove: 4, sync: 1 };
const HOUR_MS = 3_600_000;

export const PROFILES = {
  /** Nothing fails, but every promise is only just kept. */
  well: {
    weights: POOL,
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0,
  },
  /** KV is late, refuses writes, and its reads fail, hang or crawl. */
  "unwell-kv": {
    weights: { ...POOL, "kv-reads": 2, "kv-writes": 2, "kv-lag": 2, publish: 0.3 },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
    isKvScarce: true,
  },
  /** The catalog's instance ends in the middle of its work, and calls to it are lost. */
  restarts: {
    weights: { ...POOL, restart: 6, network: 2, "alarms-stand": 1, publish: 0.5, forget: 0.2 },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
  },
  /** The bucket's events come days late, twice and in any order; `head` fails. */
  "queue-chaos": {
    weights: { ask: 8, put: 9, delete: 9, bucket: 2, network: 1, restart: 1, kill: 1 },
    operations: [6, 22],
    hasBucket: true,
    queueBacklogMs: 60 * HOUR_MS,
    queueDuplicates: 0.3,
  },
  /** Isolates freeze between two awaits, die and are asked several things at once. */
  isolates: {
    weights: { ...POOL, ask: 12, freeze: 5, kill: 3, "kv-reads": 2, "cloud-controller": 2 },
    operations: [6, 22],
    queueBacklogMs: 60_000,
    queueDuplicates: 0,
  },
  /** The operator syncs, sleeps, forgets, changes KEY_PREFIX and takes that back. */
  operator: {
    weights: { ...POOL, add: 6, remove: 6, sync: 5, publish: 1, forget: 0.7, deploy: 1.5 },
    operations: [6, 22],
    queueBacklogMs: 10 * 60_000,
    queueDuplicates: 0.1,
  },
  /** Whole pushes of several requests, with a fault in some of them; and a pool that loses files. */
  pushes: {
    weights: {
      push: 12,
      lose: 5,
      ask: 1,
      put: 1,
      delete: 1,
      add: 2,
      remove: 1,
      sync: 0.5,
      publish: 0.5,
      restart: 0.5,
      network: 0.5,
      "cloud-controller": 1.5,
      "kv-reads": 1,
      "kv-null": 0.3,
      "kv-writes": 0.7,
      "kv-lag": 0.7,
      sessions: 1.5,
      "reset-sessions": 1.5,
      deploy: 0.5,
    },
    operations: [2, 6],
    hasCloudController: true,
    queueBacklogMs: 60_000,
    queueDuplicates: 0.1,
  },
  everything: {
    weights: {
      ...POOL,
      ask: 12,
      push: 3,
      lose: 1,
      sessions: 0.7,
      "reset-sessions": 0.7,
      sync: 2,
      publish: 0.3,
      forget: 0.2,
      deploy: 0.5,
      freeze: 1.5,
      kill: 1.5,
      restart: 2,
      network: 1,
      "alarms-stand": 0.4,
      "kv-reads": 1,
      "kv-null": 0.5,
      "kv-writes": 1,
      "kv-lag": 1,
      "cloud-controller": 1,
      bucket: 1,
    },
    operations: [8, 30],
    queueBacklogMs: 30 * HOUR_MS,
    queueDuplicates: 0.2,
    isKvScarce: true,
  },
} satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
