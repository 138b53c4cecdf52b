import type { CacheAnswer, EdgeCache } from "../cache/edge-cache.ts";
import type { Deadline } from "../deadline.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, resourceKey } from "../resource-key.ts";
import { type EligibilityRules, eligibility } from "./eligibility.ts";
import type { Resource } from "./request.ts";
import type { Fault, Tier } from "./tiers/tier.ts";

/** Where a request is answered from, the cheapest first. */
export interface Sources {
  cache: Pick<EdgeCache, "lookUp">;
  /** Asked for the distinct keys that the cache does not hold. */
  origin: Tier | undefined;
}

export interface Matches {
  /** Those of the request that the pool holds, in the request's order. */
  resources: Resource[];
  /** What the cache said. */
  cached: Omit<CacheAnswer, "held" | "faults">;
  /** The distinct keys that the origin matched. */
  matchedByOrigin: readonly ResourceKey[];
  faults: Fault[];
}

/**
 * Which of `resources` the pool holds. What no tier resolves is not held.
 *
 * @param resources whose checksums are hex
 * @returns a Response where the origin refuses the whole request
 */
export async function matchResources(
  resources: readonly Resource[],
  rules: EligibilityRules,
  { cache, origin }: Sources,
  deadline: Deadline,
  context: RequestContext,
): Promise<Matches | Response> {
  const eligible = resources.filter(eligibility(resources, rules));
  const { held, faults, ...cached } = await cache.lookUp(eligible, deadline, context);

  const heldNow = held();
  const unresolved = new Set<ResourceKey>();
  eligible.forEach(({ checksum, size_in_bytes }, index) => {
    const key = heldNow[index] ? undefined : resourceKey(checksum.value, size_in_bytes);
    if (key) unresolved.add(key);
  });
  const answer = unresolved.size > 0 ? await origin?.lookUp([...unresolved], deadline) : undefined;
  if (answer?.refusal) return answer.refusal;

  const matched = new Set(answer?.held);
  // The origin may have taken so long that what the cache said counts no more.
  const heldAtLast = held();
  return {
    resources: eligible.filter(({ checksum, size_in_bytes }, index) => {
      if (heldAtLast[index]) return true;
      const key = resourceKey(checksum.value, size_in_bytes);
      return key !== undefined && matched.has(key);
    }),
    cached,
    matchedByOrigin: [...matched],
    faults: [...faults, ...(answer?.faults ?? [])],
  };
}
