import type { Deadline } from "../deadline.ts";
import { type ResourceKey, resourceKey } from "../resource-pool/resource-key.ts";
import type { Fault, Tier } from "../resource-pool/tier.ts";
import { type EligibilityRules, eligibility } from "./eligibility.ts";
import type { Resource } from "./request.ts";

export interface Matches {
  /** Those of the request that the pool holds, in the request's order. */
  resources: Resource[];
  /** Distinct keys that were looked up. */
  asked: number;
  /** Distinct keys that each tier resolved, by its name. */
  held: Record<string, number>;
  faults: Fault[];
}

/**
 * Which of `resources` the pool holds. Each tier is asked for the distinct, eligible keys that the ones before
 * it left unresolved; what none of them resolves is not held.
 */
export async function matchResources(
  resources: readonly Resource[],
  rules: EligibilityRules,
  tiers: readonly Tier[],
  deadline: Deadline,
): Promise<Matches> {
  const isEligible = eligibility(resources, rules);
  const keys = resources.map((resource) =>
    isEligible(resource) ? resourceKey(resource.checksum.value, resource.size_in_bytes) : undefined,
  );

  const unresolved = new Set<ResourceKey>();
  for (const key of keys) if (key) unresolved.add(key);
  const matches: Matches = { resources: [], asked: unresolved.size, held: {}, faults: [] };

  const held = new Set<ResourceKey>();
  for (const tier of tiers) {
    if (unresolved.size === 0) break;
    const answer = await tier.lookUp([...unresolved], deadline);
    const before = held.size;
    for (const key of answer.held) if (unresolved.delete(key)) held.add(key);
    matches.held[tier.name] = held.size - before;
    matches.faults.push(...answer.faults);
  }

  matches.resources = resources.filter((_, index) => held.has(keys[index] as ResourceKey));
  return matches;
}
