import type { Deadline } from "../deadline.ts";
import { type ResourceKey, resourceKey } from "../resource-pool/resource-key.ts";
import type { Fault, Tier } from "../resource-pool/tier.ts";
import { type EligibilityRules, eligibility } from "./eligibility.ts";
import type { Resource } from "./request.ts";

/** Where a request is answered from, the cheapest first. */
export interface Sources {
  /** The pool in memory, asked of each resource, 1 for those that it holds; it costs nothing. */
  snapshot: { hasEach(resources: readonly Resource[]): Uint8Array } | undefined;
  /** Each is asked, in turn, for the distinct keys that nothing before it has resolved. */
  tiers: readonly Tier[];
}

export interface Matches {
  /** Those of the request that the pool holds, in the request's order. */
  resources: Resource[];
  /** How many resources the snapshot resolved. */
  inSnapshot: number;
  /** How many distinct keys the tiers were asked for. */
  asked: number;
  /** The distinct keys that each tier resolved, by its name; tiers that were not needed are left out. */
  heldBy: Map<string, ResourceKey[]>;
  faults: Fault[];
}

/**
 * Which of `resources` the pool holds. What neither the snapshot nor any tier resolves is not held.
 *
 * @param resources whose checksums are hex
 * @returns a Response where a tier refuses the whole request
 */
export async function matchResources(
  resources: readonly Resource[],
  rules: EligibilityRules,
  { snapshot, tiers }: Sources,
  deadline: Deadline,
): Promise<Matches | Response> {
  const isEligible = eligibility(resources, rules);
  const isHeld = snapshot?.hasEach(resources) ?? new Uint8Array(resources.length);
  const keys = new Map<number, ResourceKey>();
  let inSnapshot = 0;
  resources.forEach((resource, index) => {
    if (!isEligible(resource)) {
      isHeld[index] = 0;
    } else if (isHeld[index] === 1) {
      inSnapshot += 1;
    } else {
      const key = resourceKey(resource.checksum.value, resource.size_in_bytes);
      if (key) keys.set(index, key);
    }
  });

  const unresolved = new Set(keys.values());
  const matches = {
    inSnapshot,
    asked: unresolved.size,
    heldBy: new Map<string, ResourceKey[]>(),
    faults: [] as Fault[],
  };
  const held = new Set<ResourceKey>();
  for (const tier of tiers) {
    if (unresolved.size === 0) break;
    const answer = await tier.lookUp([...unresolved], deadline);
    if (answer.refusal) return answer.refusal;
    const resolved = answer.held.filter((key) => unresolved.delete(key));
    for (const key of resolved) held.add(key);
    matches.heldBy.set(tier.name, resolved);
    matches.faults.push(...answer.faults);
  }
  for (const [index, key] of keys) if (held.has(key)) isHeld[index] = 1;
  return { ...matches, resources: resources.filter((_, index) => isHeld[index] === 1) };
}
