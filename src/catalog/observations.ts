import type { ResourceKey } from "../resources/resource-key.ts";

/** Which resources the pool had, and which it had not, at a time. */
export interface Observations {
  /**
   * The moment before the pool was read, in ms since the epoch by Cloudflare's clock. A client with another
   * clock reports the age of its observations.
   */
  asOf: number;
  present?: readonly ResourceKey[];
  /** SHA-1s in lower-case hex. */
  removed?: readonly string[];
  /** `verified`: from the bucket, a listing or the operator. `client-reported`: from a client that pushes. */
  sizes: "verified" | "client-reported";
}

/** Why an observation that a resource is present was not recorded. */
export type Refusal =
  /** Its size is below MINIMUM_SIZE or above MAXIMUM_SIZE. */
  | "outside-limits"
  /** It is more than a day old, or from before everything was forgotten. */
  | "too-old"
  /** Its size is client-reported and differs from the verified one. */
  | "conflicting-size";

export type Refusals = Record<Refusal, number>;

/** The outcome of observations. */
export interface Observed {
  /** Resources that became present, were removed, or have another size. */
  changed: number;
  /** Observations that were known, or older than the recorded one. */
  unchanged: number;
  refused: Refusals;
}

/** The most observations of one call. */
export const OBSERVATIONS_MAX = 50_000;

export const noRefusals = (): Refusals => ({ "outside-limits": 0, "too-old": 0, "conflicting-size": 0 });
