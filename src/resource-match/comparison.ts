import { countOf } from "../bytes/marks.ts";
import type { Contents } from "../cache/contents.ts";
import type { ResourceKey } from "../resources/resource-key.ts";

/** The matches that the cache would have returned, compared with those of the Cloud Controller. Numbers count resources. */
export interface Comparison {
  counts: {
    /** Matches of the cache. */
    wouldMatch: number;
    /** Sizes of the matches of both, in bytes. */
    bytesSaved: number;
    /** Matches of the cache alone: they would have failed the push. */
    staleMatches: number;
    /** Matches of the Cloud Controller alone: the files would have been uploaded needlessly. */
    missedMatches: number;
  };
  /** Keys that both match. */
  confirmed: ResourceKey[];
  /** Keys that only the cache matches. */
  contradicted: ResourceKey[];
  /** Keys of eligible resources that only the Cloud Controller matches. */
  missed: ResourceKey[];
}

/**
 * @param eligible contents that were looked up in the cache
 * @param wouldMatch 1 for each of them that the cache would have matched
 * @param listed the key of each resource in the response of the Cloud Controller
 */
export function compareMatches(
  eligible: Contents,
  wouldMatch: Uint8Array,
  listed: readonly (ResourceKey | undefined)[],
): Comparison {
  const cached = eligible.keysWhere((index) => wouldMatch[index] === 1);
  const others = eligible.keysWhere((index) => wouldMatch[index] !== 1);
  const matched = new Set(listed);
  const isConfirmed = wouldMatch.slice();
  const confirmed: ResourceKey[] = [];
  const contradicted: ResourceKey[] = [];
  let staleMatches = 0;
  for (const [key, places] of cached) {
    if (matched.has(key)) {
      confirmed.push(key);
      continue;
    }
    contradicted.push(key);
    staleMatches += places.length;
    for (const place of places) isConfirmed[place] = 0;
  }
  const counts = {
    wouldMatch: countOf(wouldMatch, 1),
    bytesSaved: eligible.bytesOf(isConfirmed),
    staleMatches,
    missedMatches: listed.filter((key) => key === undefined || !cached.has(key)).length,
  };
  const missed = [...others.keys()].filter((key) => matched.has(key));
  return { counts, confirmed, contradicted, missed };
}
