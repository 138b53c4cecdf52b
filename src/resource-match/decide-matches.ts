import { Stopwatch } from "../observability/stopwatch.ts";
import { type Decisions, MATCH, NO_MATCH, REJECTED, REMOVED } from "../push-sessions/decisions.ts";
import type { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { CACHE, type Matches, NOT_FOUND } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Origin } from "./origin.ts";
import { type Verified, verifyFound } from "./verification.ts";

/** What is answered, by the candidates of the request. */
export interface DecidedMatches {
  /** 1 where the response names the resource. */
  isMatch: Uint8Array;
  /** Where it was found: `NOBODY`, `CACHE` or `ORIGIN`. */
  foundBy: Uint8Array;
  /** How many candidates earlier requests of the push had decided. */
  decidedEarlier: number;
  /** What the Cloud Controller said of the matches of the cache before the response; undefined if it was not asked. */
  verified: Verified | undefined;
  /** How long the response waited after the look-up, in ms. */
  ms: Record<"pushSessions" | "verification", number>;
}

/**
 * Decides which resources match: as earlier requests of the push decided, else as the look-up found. If the push seems to be tried
 * again after a failure, the Cloud Controller verifies the matches of the cache first.
 *
 * @param origin the Cloud Controller; undefined if there is none
 */
export async function decideMatches(
  { candidates, isEligible }: MatchRequest,
  matches: Matches,
  { session, origin }: { session: PushSession; origin: Origin | undefined },
  context: RequestContext,
): Promise<DecidedMatches> {
  const watch = new Stopwatch("pushSessions", "verification");
  const foundBy = ofCandidates(matches.foundBy(), isEligible);
  const isRemoved = ofCandidates(matches.isRemoved, isEligible);
  const isRejected = ofCandidates(matches.isRejected, isEligible);
  // A Cloud Controller that matches nothing may have its own matching off: its denials are believed only of a retry.
  const marksOf = (isRetry: boolean) => {
    const isBelieved = isRetry || matches.matchedByOrigin.length > 0;
    return foundBy.map((by, index) => {
      if (by !== NOT_FOUND) return MATCH;
      if (isRejected[index] && isBelieved) return REJECTED;
      // A candidate whose mode rules it out is no match.
      return isRemoved[index] ? REMOVED : NO_MATCH;
    });
  };
  const found = marksOf(false);
  let verified: Verified | undefined;
  const verify = async (earlier: Decisions) => {
    watch.lap("pushSessions");
    found.set(marksOf(true));
    const marks = { found, foundBy, decided: earlier.marksFor(session.contents) };
    if (origin) verified = await verifyFound(candidates, marks, earlier.isIdentified, origin, context);
    watch.lap("verification");
  };
  let decided = await session.decide(found, origin && verify);
  // Waiting may have outlasted the cached manifest: then nothing that it matched counts.
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

/** Marks of the eligible candidates, as marks of all; 0 for the others. */
function ofCandidates(marks: Uint8Array, isEligible: Uint8Array): Uint8Array {
  if (!isEligible.includes(0)) return marks.slice();
  let place = 0;
  return isEligible.map((is) => (is ? (marks[place++] as number) : 0));
}
