import type { Contents } from "../cache/contents.ts";
import type { ResourceKey } from "../resources/resource-key.ts";

/** How what the cache would have claimed compares with what the Cloud Controller has matched. */
export interface Comparison {
  /** Entries that the cache would have claimed. */
  wouldMatch: number;
  /** Of those that the Cloud Controller has matched as well. */
  bytesSaved: number;
  /** Entries that the cache would have claimed, and the Cloud Controller has not matched: pushes that would have failed. */
  staleMatches: number;
  /** Entries that the Cloud Controller has matched, and the cache would not have claimed: files uploaded in vain. */
  missedMatches: number;
  /** Keys of what the cache would have claimed, as the Cloud Controller has it … */
  confirmed: ResourceKey[];
  contradicted: ResourceKey[];
  /** … and of what it has matched besides. */
  matchedBesides: ResourceKey[];
}

/**
 * @param eligible what the cache was asked for
 * @param claimed of each 1 where the cache would have claimed it
 * @param listed the keys of the entries that the Cloud Controller has matched
 */
export function compare(
  eligible: Contents,
  claimed: Uint8Array,
  listed: readonly (ResourceKey | undefined)[],
): Comparison {
  const claims = eligible.keysWhere((index) => claimed[index] === 1);
  const others = eligible.keysWhere((index) => claimed[index] !== 1);
  const matched = new Set(listed);
  const right = claimed.slice();
  const [confirmed, contradicted]: [ResourceKey[], ResourceKey[]] = [[], []];
  let [wouldMatch, wrongYes] = [0, 0];
  for (const [key, places] of claims) {
    wouldMatch += places.length;
    if (matched.has(key)) {
      confirmed.push(key);
      continue;
    }
    contradicted.push(key);
    wrongYes += places.length;
    for (const place of places) right[place] = 0;
  }
  return {
    wouldMatch,
    bytesSaved: eligible.bytesOf(right),
    staleMatches: wrongYes,
    missedMatches: listed.filter((key) => key === undefined || !claims.has(key)).length,
    confirmed,
    contradicted,
    matchedBesides: [...others.keys()].filter((key) => matched.has(key)),
  };
}
