import type { ResourceKey } from "../resources/resource-key.ts";

/** What somebody has seen of the pool. */
export interface Observations {
  /**
   * The moment before the pool was asked, in ms since the epoch by Cloudflare's clock: what is told of another clock
   * says how long ago, and is counted back from there.
   */
  asOf: number;
  /** Resources that the pool held. */
  present?: readonly ResourceKey[];
  /** SHA-1s in lower-case hex of what it did not hold. */
  removed?: readonly string[];
  /** Whether the sizes were measured, by `head`, a listing or the operator, or only said by a client that pushes. */
  sizes: "verified" | "client-reported";
}

/** Why a resource was not taken into the catalog. */
export type Refusal =
  /** Its size lies outside MINIMUM_SIZE and MAXIMUM_SIZE. */
  | "outside-limits"
  /** It was seen more than a day ago, or before everything was forgotten. */
  | "too-old"
  /** A client said a size where another was measured. */
  | "conflicting-size";

export type Refusals = Record<Refusal, number>;

/** What became of observations. */
export interface Observed {
  /** Resources that are held since, or no longer. */
  changed: number;
  /** What was known already, or has been overtaken by a later observation. */
  unchanged: number;
  refused: Refusals;
}

/** The most that one call takes. */
export const OBSERVATIONS_MAX = 50_000;

export const noRefusals = (): Refusals => ({ "outside-limits": 0, "too-old": 0, "conflicting-size": 0 });
