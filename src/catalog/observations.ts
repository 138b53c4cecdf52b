import type { ObservationsResult } from "../operator-api/responses.ts";
import type { ResourceKey } from "../resources/resource-key.ts";

/** Resources that the pool had, or lacked, at a time. */
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

/** Observations of present resources that were not recorded, by reason. */
export type Refusals = ObservationsResult["refused"];
export type Refusal = keyof Refusals;

/** The most observations of one call. */
export const OBSERVATIONS_MAX = 50_000;

export const noRefusals = (): Refusals => ({ "outside-limits": 0, "too-old": 0, "conflicting-size": 0 });
