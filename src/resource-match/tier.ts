import type { Fault } from "../cache/lookup-result.ts";
import type { Failure } from "../failure.ts";
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
  refusal?: Failure;
}
