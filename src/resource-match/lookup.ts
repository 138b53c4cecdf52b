import type { Contents } from "../cache/contents.ts";
import type { EdgeCache } from "../cache/edge-cache.ts";
import type { Fault, Tally } from "../cache/lookup-result.ts";
import type { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import type { Origin } from "./origin.ts";

/** Where a content was found. */
export const NOT_FOUND = 0;
export const CACHE = 1;
export const ORIGIN = 2;

/** The tiers, in the order of the look-up. */
interface Tiers {
  cache: Pick<EdgeCache, "lookUp">;
  /** Looks up the distinct keys that the cache does not have. */
  origin: Origin | undefined;
}

/** Result of a look-up. Each array has one byte for each content. */
export interface Matches {
  /** NOT_FOUND, CACHE or ORIGIN at the time of the call: matches of the cache expire with the cached manifest. */
  foundBy(): Uint8Array;
  /** 1 if the delta has a tombstone of the content. */
  isRemoved: Uint8Array;
  /** 1 if the content was requested from the Cloud Controller and was not matched. */
  isNotMatchedByOrigin: Uint8Array;
  tiers: Record<"memory" | "keys" | "origin", Tally>;
  /** Whether the cache is suspended, so that only the Cloud Controller matches. */
  isSuspended: boolean;
  /** Distinct keys. */
  matchedByOrigin: readonly ResourceKey[];
  notMatchedByOrigin: readonly ResourceKey[];
  faults: Fault[];
}

const NOTHING_REQUESTED: Tally = { requested: 0, matched: 0, ms: 0 };

/** The result without a look-up. */
export function noMatches({ count }: Contents): Matches {
  return {
    foundBy: () => new Uint8Array(count),
    isRemoved: new Uint8Array(count),
    isNotMatchedByOrigin: new Uint8Array(count),
    tiers: { memory: NOTHING_REQUESTED, keys: NOTHING_REQUESTED, origin: NOTHING_REQUESTED },
    isSuspended: false,
    matchedByOrigin: [],
    notMatchedByOrigin: [],
    faults: [],
  };
}

/**
 * Looks up which of `contents` are in the pool: in the cache, then in the Cloud Controller. Contents without a result by the deadline
 * are not found.
 *
 * @param contents of eligible resources
 * @returns `relayed` if the Cloud Controller refuses the caller
 */
export async function lookUpMatches(
  contents: Contents,
  { cache, origin }: Tiers,
  deadline: Deadline,
  context: RequestContext,
): Promise<Matches | Failure> {
  const cached = await cache.lookUp(contents, deadline, context);
  const { isPresent, isRemoved, isSuspended } = cached;

  const unresolved = origin ? contents.unknown(isPresent()) : new Map<ResourceKey, number[]>();
  const startedAt = Date.now();
  const lookup =
    unresolved.size > 0 ? await origin?.requestMatches([...unresolved.keys()], deadline) : undefined;
  if (lookup?.refusal) return lookup.refusal;

  const ms = Date.now() - startedAt;
  const { matched = [], notMatched = [], faults = [] } = lookup ?? {};
  const isNotMatchedByOrigin = new Uint8Array(contents.count);
  for (const key of notMatched) {
    for (const index of unresolved.get(key) ?? []) isNotMatchedByOrigin[index] = 1;
  }
  return {
    foundBy() {
      const foundBy = isPresent().slice();
      for (const key of matched) {
        for (const index of unresolved.get(key) ?? []) foundBy[index] = ORIGIN;
      }
      return foundBy;
    },
    isRemoved: isRemoved ?? new Uint8Array(contents.count),
    isNotMatchedByOrigin,
    tiers: { ...cached.tiers, origin: { requested: unresolved.size, matched: matched.length, ms } },
    isSuspended,
    matchedByOrigin: matched,
    notMatchedByOrigin: notMatched,
    faults: [...cached.faults, ...faults],
  };
}
