import type { Deadline } from "../deadline.ts";
import { type ResourceKey, resourceKey } from "../resource-pool/resource-key.ts";
import type { Fault, Tier } from "../resource-pool/tier.ts";
import { type EligibilityRules, eligibility } from "./eligibility.ts";
import type { Resource } from "./request.ts";

export interface Matches {
  /** Those of the request that the pool holds, in the request's order. */
  resources: Resource[];
  /** How many distinct keys were looked up. */
  asked: number;
  /** The distinct keys that each tier resolved, by its name; tiers that were not needed are left out. */
  heldBy: Map<string, ResourceKey[]>;
  faults: Fault[];
}

/**
 * Which of `resources` the pool holds. Each tier is asked for the distinct, eligible keys that the ones before
 * it left unresolved; what none of them resolves is not held.
 *
 * @returns a Response where a tier refuses the whole request
 */
export async function matchResources(
  resources: readonly Resource[],
  rules: EligibilityRules,
  tiers: readonly Tier[],
  deadline: Deadline,
): Promise<Matches | Response> {
  const isEligible = eligibility(resources, rules);
  const keys = resources.map((resource) =>
    isEligible(resource) ? resourceKey(resource.checksum.value, resource.size_in_bytes) : undefined,
  );
  const unresolved = new Set<ResourceKey>();
  for (const key of keys) if (key) unresolved.add(key);

  const asked = unresolved.size;
  const held = new Set<ResourceKey | undefined>();
  const heldBy = new Map<string, ResourceKey[]>();
  const faults: Fault[] = [];
  for (const tier of tiers) {
    if (unresolved.size === 0) break;
    const answer = await tier.lookUp([...unresolved], deadline);
    if (answer.refusal) return answer.refusal;
    const resolved = answer.held.filter((key) => unresolved.delete(key));
    for (const key of resolved) held.add(key);
    heldBy.set(tier.name, resolved);
    faults.push(...answer.faults);
  }
  return { resources: resources.filter((_, index) => held.has(keys[index])), asked, heldBy, faults };
}
