import type { RequestContext } from "../request-context.ts";
import type { DecidedMatches } from "./decide-matches.ts";
import { type Matches, ORIGIN } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import { reportMatches } from "./observe-matches.ts";
import type { Origin } from "./origin.ts";
import { reportToCatalog, verifySample } from "./verification.ts";

interface Answered {
  question: MatchRequest;
  matches: Matches;
  decided: DecidedMatches;
  origin: Origin | undefined;
  /** When the look-up began, in ms since the epoch. */
  askedAt: number;
}

/** What follows after the response: a sample of the matches is verified, and the catalog learns what the Cloud Controller said. */
export function startAfterResponse(answered: Answered, context: RequestContext): void {
  verify(answered, context);
  observe(answered, context);
}

function verify({ question, decided, origin }: Answered, context: RequestContext): void {
  const { isMatch, foundBy, verified } = decided;
  if (!origin || verified) return;
  const isUnverified = (index: number) => isMatch[index] === 1 && foundBy[index] !== ORIGIN;
  const unverified = [...question.candidates.keysWhere(isUnverified).keys()];
  if (unverified.length > 0) context.waitUntil(verifySample(unverified, origin, context));
}

function observe({ matches, askedAt }: Answered, context: RequestContext): void {
  const { matchedByOrigin, rejectedByOrigin, isSuspended } = matches;
  if (matchedByOrigin.length > 0) context.waitUntil(reportMatches(matchedByOrigin, askedAt, context));
  // What it lacks is news only where the cache would have matched it, if it were not suspended.
  if (isSuspended && rejectedByOrigin.length > 0) {
    const said = { matched: matchedByOrigin, rejected: rejectedByOrigin };
    context.waitUntil(reportToCatalog(said, askedAt, context));
  }
}
