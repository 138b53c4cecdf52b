import { type Decisions, MATCH, NO_MATCH, REJECTED, REMOVED, UNDECIDED } from "../push-sessions/decisions.ts";
import type { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { Stopwatch } from "../stopwatch.ts";
import { CACHE, type Matches, NOBODY, ORIGIN } from "./match.ts";
import type { Question } from "./question.ts";
import type { Origin } from "./tiers/origin.ts";
import { type Verified, verifyMatches } from "./verification.ts";

/** How many resources others than the look-up had a say in. */
export interface DecisionCounts {
  /** Decided by an earlier request of the push. */
  decided: number;
  /** Matches that the Cloud Controller confirmed or rejected before the response … */
  verified: number;
  /** … and those of them that it rejected. */
  rejected: number;
}

/** What is answered, by the candidates of the request. */
export interface DecidedMatches {
  /** 1 where the response names the resource. */
  isMatch: Uint8Array;
  /** Where it was found: `NOBODY`, `CACHE` or `ORIGIN`. */
  foundBy: Uint8Array;
  /** Whether the client identified its push. */
  isIdentified: boolean;
  /** Whether the Cloud Controller was asked about the matches of the cache before the response. */
  isVerified: boolean;
  counts: DecisionCounts;
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
  question: Question,
  matches: Matches,
  { session, origin }: { session: PushSession; origin: Origin | undefined },
  context: RequestContext,
): Promise<DecidedMatches> {
  const watch = new Stopwatch("pushSessions", "verification");
  const foundBy = spread(matches.heldBy(), question.isEligible);
  const found = marksOf(foundBy, question, matches);
  let verified: Verified | undefined;
  const verify =
    origin &&
    (async (earlier: Decisions) => {
      watch.lap("pushSessions");
      verified = await verifyFound(question, found, foundBy, { session, earlier, origin }, context);
      watch.lap("verification");
    });
  let decided = await session.decide(found, verify);
  // Waiting may have outlasted the cached manifest: then nothing that it matched counts.
  if (foundBy.includes(CACHE) && !matches.heldBy().includes(CACHE)) {
    for (let index = 0; index < found.length; index++) {
      if (found[index] === MATCH && foundBy[index] === CACHE) found[index] = NO_MATCH;
    }
    decided = await session.decide(found);
  }
  watch.lap("pushSessions");
  const { held = [], denied = [] } = verified ?? {};
  return {
    isMatch: decided.decisions.map((mark) => (mark === MATCH ? 1 : 0)),
    foundBy,
    isIdentified: session.isIdentified,
    isVerified: verified !== undefined,
    counts: {
      decided: decided.decidedEarlier,
      verified: held.length + denied.length,
      rejected: denied.length,
    },
    ms: watch.ms,
  };
}

/** What is known of the eligible candidates, of all candidates. */
function spread(ofEligible: Uint8Array, isEligible: Uint8Array): Uint8Array {
  if (!isEligible.includes(0)) return ofEligible.slice();
  let place = 0;
  return isEligible.map((is) => (is ? (ofEligible[place++] as number) : 0));
}

/** What the look-up found, as push sessions take it. A candidate that its mode rules out is no match. */
function marksOf(foundBy: Uint8Array, { isEligible }: Question, { isRemoved }: Matches): Uint8Array {
  const removed = isRemoved && spread(isRemoved, isEligible);
  return foundBy.map((by, index) => (by !== NOBODY ? MATCH : removed?.[index] ? REMOVED : NO_MATCH));
}

/**
 * Has the Cloud Controller verify what the cache matched and what may still be decided. Once it has rejected anything, a match that it
 * has not confirmed is not decided; an earlier decision changes only if it is rejected itself.
 */
async function verifyFound(
  { candidates }: Question,
  found: Uint8Array,
  foundBy: Uint8Array,
  { session, earlier, origin }: { session: PushSession; earlier: Decisions; origin: Origin },
  context: RequestContext,
): Promise<Verified | undefined> {
  const decided = earlier.of(session.contents);
  const isOpen = (index: number) => decided[index] === UNDECIDED;
  const keys = candidates.keysWhere((index) => {
    const isMatch = isOpen(index)
      ? found[index] === MATCH
      : decided[index] === MATCH && !earlier.isIdentified;
    return isMatch && foundBy[index] !== ORIGIN;
  });
  if (keys.size === 0) return undefined;
  const verified = await verifyMatches([...keys.keys()], origin, context);
  if (verified.denied.length === 0) return verified;
  const [confirmed, rejected] = [new Set(verified.held), new Set(verified.denied)];
  for (const [key, places] of keys) {
    if (confirmed.has(key)) continue;
    for (const index of places) {
      if (rejected.has(key)) found[index] = REJECTED;
      else if (isOpen(index)) found[index] = NO_MATCH;
    }
  }
  return verified;
}
