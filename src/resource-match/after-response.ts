import type { RequestContext } from "../request-context.ts";
import { reportMatches, reportWhileSuspended } from "./catalog-reports.ts";
import type { DecidedMatches } from "./decide-matches.ts";
import { type Matches, ORIGIN } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Origin } from "./origin.ts";
import { verifySample } from "./verification.ts";

interface Responded {
  matchRequest: MatchRequest;
  matches: Matches;
  decided: DecidedMatches;
  origin: Origin | undefined;
  /** Start of the look-up, in ms since the epoch. */
  lookupStartedAt: number;
}

/** Starts the work after the response: reports the results of the Cloud Controller, and verifies a sample of the other matches. */
export function startAfterResponse(responded: Responded, context: RequestContext): void {
  startVerification(responded, context);
  const { matches, lookupStartedAt } = responded;
  const { matchedByOrigin: matched, notMatchedByOrigin: notMatched, isSuspended } = matches;
  context.waitUntil(reportMatches(matched, lookupStartedAt, context));
  if (isSuspended) context.waitUntil(reportWhileSuspended({ matched, notMatched }, lookupStartedAt, context));
}

function startVerification({ matchRequest, decided, origin }: Responded, context: RequestContext): void {
  const { isMatch, foundBy, verified } = decided;
  if (!origin || verified) return;
  const isUnverified = (index: number) => isMatch[index] === 1 && foundBy[index] !== ORIGIN;
  const unverified = [...matchRequest.candidates.keysWhere(isUnverified).keys()];
  if (unverified.length > 0) context.waitUntil(verifySample(unverified, origin, context));
}
