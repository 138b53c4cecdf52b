import { Stopwatch } from "../observability/stopwatch.ts";
import { type Decisions, MATCH, NO_MATCH, REJECTED, REMOVED } from "../push-sessions/decisions.ts";
import type { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { CACHE, type Matches, NOT_FOUND } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Origin, OriginResult } from "./origin.ts";
import { verifyBeforeResponse } from "./verification.ts";

/** The decisions for a request. Each array has one byte for each candidate. */
export interface DecidedMatches {
  /** 1 if the response has the resource. */
  isMatch: Uint8Array;
  /** NOT_FOUND, CACHE, CONFIRMED or ORIGIN. */
  foundBy: Uint8Array;
  /** Number of candidates that earlier requests of the push had decided. */
  decidedEarlier: number;
  /** Matches of the cache that were verified before the response; undefined if none had to be. */
  verified: OriginResult | undefined;
  /** How long the response waited after the look-up. */
  ms: Record<"pushSessions" | "verification", number>;
}

/**
 * Decides which resources match: as earlier requests of the push decided, else by the look-up. If a retry is suspected, the Cloud
 * Controller verifies the matches of the cache first.
 *
 * @param origin undefined without a Cloud Controller
 */
export async function decideMatches(
  { candidates }: MatchRequest,
  matches: Matches,
  { session, origin }: { session: PushSession; origin: Origin | undefined },
  context: RequestContext,
): Promise<DecidedMatches> {
  const watch = new Stopwatch("pushSessions", "verification");
  const foundBy = matches.foundBy();
  const marksOf = (isRetry: boolean) => {
    // A Cloud Controller that matches nothing may have matching disabled. Its rejections then count only for a retry.
    const isCredible = isRetry || matches.origin.matched.length > 0;
    return foundBy.map((by, index) => {
      if (by !== NOT_FOUND) return MATCH;
      if (matches.isNotMatchedByOrigin[index] && isCredible) return REJECTED;
      return matches.isRemoved[index] ? REMOVED : NO_MATCH;
    });
  };
  const found = marksOf(false);
  let verified: OriginResult | undefined;
  const verify =
    origin &&
    (async (earlier: Decisions) => {
      watch.lap("pushSessions");
      found.set(marksOf(true));
      const marks = { found, foundBy, decided: earlier.marksFor(session.contents) };
      verified = await verifyBeforeResponse(candidates, marks, earlier.isIdentified, origin, context);
      watch.lap("verification");
    });
  let decided = await session.decide(found, verify);
  // The cached manifest may have expired while the request waited. Its matches no longer count then.
  if (foundBy.includes(CACHE) && !matches.foundBy().includes(CACHE)) {
    for (let index = 0; index < found.length; index++) {
      if (found[index] === MATCH && foundBy[index] === CACHE) found[index] = NO_MATCH;
    }
    decided = await session.decide(found);
  }
  watch.lap("pushSessions");
  const isMatch = decided.decisions.map((mark) => (mark === MATCH ? 1 : 0));
  return { isMatch, foundBy, decidedEarlier: decided.decidedEarlier, verified, ms: watch.ms };
}
