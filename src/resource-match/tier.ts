import type { ResourceKey } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";

/** One place that knows what the pool holds. */
export interface Tier {
  readonly name: string;
  /**
   * Which of `keys` the pool holds. Never throws: what can't be found out in time is not matched, and a fault.
   *
   * @param keys distinct
   * @param onAnswer is called with each part of the answer, as it comes
   */
  lookUp(
    keys: readonly ResourceKey[],
    deadline: Deadline,
    onAnswer?: (answer: TierResult) => void,
  ): Promise<TierResult>;
}

export interface TierResult {
  /** What of that which was asked is matched … */
  matched: readonly ResourceKey[];
  /** … and what is not; of the rest the tier has not answered. */
  rejected: readonly ResourceKey[];
  faults: Fault[];
  /** The answer to the whole request, where the tier has the say and refuses it. */
  refusal?: Response;
}

/** What a tier had to do with a request. */
export interface Tally {
  /** How much it was asked for, and matched of that: of snapshot and changes resources, else distinct keys. */
  asked: number;
  matched: number;
  /** How long it was waited for. */
  ms: number;
}

/** Why an answer may lack resources that the pool holds. */
export interface Fault {
  /** For the person who pushes. */
  warning: string;
  /** For the operator's log. */
  details: {
    tier: string;
    /** Keys that it did not answer for. */
    unread: number;
    causes: string[];
  };
}
