import type { Observed, Refusals } from "../catalog/observations.ts";

/** What `GET …/cache` answers, and `POST …/cache/publication`. Times are in ISO 8601, UTC. */
export interface CacheStatus {
  /** Of this project, as package.json tells it. */
  version: string;
  /** The Worker's, before the answer was made: `observed_at` of what is seen of the pool from now on. */
  time: string;
  /** Resources that the cache holds. */
  entries: number;
  /** Those of them whose key is not written to Workers KV yet. */
  keys_waiting: number;
  removals_remembered: number;
  /** Whether something has changed that is not published yet. */
  is_behind: boolean;
  /** What the edge reads: since when, and the resources in which it differs from the snapshot. */
  published: { at: string; changes: { held: number; removed: number } } | null;
  snapshot: { id: string; entries: number; parts: number; built_at: string } | null;
  /** Until then only the Cloud Controller answers, for it denied much of what the cache claimed. */
  suspended_until: string | null;
  /**
   * What the isolate that answers has answered to pushes in the last hour: requests, resources that could match by size
   * and mode, and those that did. Other isolates have hours of their own.
   */
  last_hour: { requests: number; eligible: number; matched: number };
  /** How the cache is in the Worker's own judgement, and what to do where that is not well. */
  checks: CacheCheck[];
  /** Resources that were not taken, since the catalog began, by reason. */
  refused: Refusals;
  /** The Worker's variables as they hold, by name; of the Cloud Controller and optional bindings, whether they are set. */
  configuration: Record<string, string | number | boolean | null>;
}

/** One thing of the cache's state that was looked at. */
export interface CacheCheck {
  name: "matching" | "catalog" | "pointer" | "snapshot" | "keys" | "suspension";
  /** `fail` where pushes upload more than they need to, or soon will. */
  level: "ok" | "warn" | "fail";
  /** In plain sentences: how it is, and where that is not well, what to do. */
  text: string;
}

/** A resource as the cache holds it; as `POST /v3/resource_matches` takes it. */
export interface CachedResource {
  checksum: { value: string };
  size_in_bytes: number;
}

/** What `GET …/cache/resources` answers: resources in the order of their SHA-1s. */
export interface ResourcePage {
  resources: CachedResource[];
  /** To be sent as `after` for the next page; absent on the last. */
  after?: string;
}

/** What `POST …/cache/observations` answers: how many resources changed, did not, and were refused for which reason. */
export type ObservationsAnswer = Observed;
