import { type EarlyReads, edgeCacheOf } from "../cache/edge-cache.ts";
import type { Fault, Tally } from "../cache/lookup-result.ts";
import type { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import { Deadline } from "../time/deadline.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Origin, OriginResult } from "./origin.ts";

/** Where a candidate was found. */
export const NOT_FOUND = 0;
export const CACHE = 1;
export const ORIGIN = 2;
/** In the cache, and confirmed by the Cloud Controller before the response. */
export const CONFIRMED = 3;

/** Result of a look-up. Each array has one byte for each candidate. */
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
  /** The distinct keys that the cache does not have. */
  origin: OriginResult;
  faults: Fault[];
}

/**
 * Looks up which eligible candidates are in the pool: in the cache, then in the Cloud Controller. Candidates without a result by
 * LOOKUP_DEADLINE_MS are not found. If resource matching is disabled, nothing is looked up.
 *
 * @param origin undefined without a Cloud Controller
 * @param early reads that the request has started
 * @returns `relayed` if the Cloud Controller refuses the caller
 */
export async function lookUpMatches(
  { candidates, isEligible }: MatchRequest,
  origin: Origin | undefined,
  early: EarlyReads | undefined,
  context: RequestContext,
): Promise<Matches | Failure> {
  const { features, lookupDeadlineMs } = context.configuration;
  const isLookedUp = features.resourceMatching ? isEligible : new Uint8Array(isEligible.length);
  const contents = candidates.only(isLookedUp);
  const toCandidates = (marks: Uint8Array): Uint8Array => {
    if (contents === candidates) return marks;
    let next = 0;
    return isLookedUp.map((is) => (is ? (marks[next++] as number) : 0));
  };

  const deadline = new Deadline(lookupDeadlineMs);
  const cached = await edgeCacheOf(context.configuration).lookUp(contents, deadline, context, early);
  const { isPresent, isRemoved, isSuspended } = cached;

  const unresolved = origin ? contents.unknown(isPresent()) : new Map<ResourceKey, number[]>();
  const startedAt = Date.now();
  const lookup = await origin?.requestMatches([...unresolved.keys()], deadline);
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
      return toCandidates(foundBy);
    },
    isRemoved: toCandidates(isRemoved ?? new Uint8Array(contents.count)),
    isNotMatchedByOrigin: toCandidates(isNotMatchedByOrigin),
    tiers: { ...cached.tiers, origin: { requested: unresolved.size, matched: matched.length, ms } },
    isSuspended,
    origin: { matched, notMatched },
    faults: [...cached.faults, ...faults],
  };
}
