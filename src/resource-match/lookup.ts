import type { Contents } from "../cache/contents.ts";
import type { EdgeCache } from "../cache/edge-cache.ts";
import type { Fault, Tally } from "../cache/lookup-result.ts";
import type { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import type { Tier } from "./tier.ts";

/** Who says that the pool holds a resource. */
export const NOT_FOUND = 0;
export const CACHE = 1;
export const ORIGIN = 2;

/** Where a request is answered from, the cheapest first. */
export interface Sources {
  cache: Pick<EdgeCache, "lookUp">;
  /** Asked for the distinct keys that the cache does not hold. */
  origin: Tier | undefined;
}

export interface Matches {
  /** Of each content `NOBODY`, `CACHE` or `ORIGIN`, at this moment: what the cache said ages. */
  foundBy(): Uint8Array;
  /** Of each content 1 if the delta says that it was removed, and 1 if the Cloud Controller was asked and lacks it. */
  isRemoved: Uint8Array;
  isRejected: Uint8Array;
  tiers: Record<"memory" | "keys" | "origin", Tally>;
  /** Whether only the Cloud Controller may answer, which has rejected what the cache claimed. */
  isSuspended: boolean;
  /** The distinct keys that the origin matched, and those that it does not. */
  matchedByOrigin: readonly ResourceKey[];
  rejectedByOrigin: readonly ResourceKey[];
  faults: Fault[];
}

const NOTHING_ASKED: Tally = { requested: 0, matched: 0, ms: 0 };

/** What is said where no tier is asked. */
export function noMatches({ count }: Contents): Matches {
  return {
    foundBy: () => new Uint8Array(count),
    isRemoved: new Uint8Array(count),
    isRejected: new Uint8Array(count),
    tiers: { memory: NOTHING_ASKED, keys: NOTHING_ASKED, origin: NOTHING_ASKED },
    isSuspended: false,
    matchedByOrigin: [],
    rejectedByOrigin: [],
    faults: [],
  };
}

/**
 * Which of `contents` the pool holds. What no tier resolves is not held.
 *
 * @param contents of resources that may match
 * @returns `relayed` if the origin refuses the whole request
 */
export async function matchResources(
  contents: Contents,
  { cache, origin }: Sources,
  deadline: Deadline,
  context: RequestContext,
): Promise<Matches | Failure> {
  const { isPresent, isRemoved, faults, tiers, isSuspended } = await cache.lookUp(
    contents,
    deadline,
    context,
  );

  const unresolved = origin ? contents.unknown(isPresent()) : new Map<ResourceKey, number[]>();
  const originAskedAt = Date.now();
  const answer = unresolved.size > 0 ? await origin?.lookUp([...unresolved.keys()], deadline) : undefined;
  if (answer?.refusal) return answer.refusal;

  const originMs = Date.now() - originAskedAt;
  const matchedByOrigin = [...new Set(answer?.matched)];
  const isRejected = new Uint8Array(contents.count);
  for (const key of answer?.rejected ?? [])
    for (const index of unresolved.get(key) ?? []) isRejected[index] = 1;
  return {
    foundBy() {
      // The origin may have taken so long that what the cache said counts no more.
      const foundBy = isPresent().slice();
      for (const key of matchedByOrigin)
        for (const index of unresolved.get(key) ?? []) foundBy[index] = ORIGIN;
      return foundBy;
    },
    isRemoved: isRemoved ?? new Uint8Array(contents.count),
    isRejected,
    tiers: {
      ...tiers,
      origin: { requested: unresolved.size, matched: matchedByOrigin.length, ms: originMs },
    },
    isSuspended,
    matchedByOrigin,
    rejectedByOrigin: answer?.rejected ?? [],
    faults: [...faults, ...(answer?.faults ?? [])],
  };
}
