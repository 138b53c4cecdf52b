import type { OneAnswer } from "../push-memory/one-answer.ts";
import type { RequestContext } from "../request-context.ts";
import type { Claims } from "./claims.ts";
import { type Matches, ORIGIN } from "./match.ts";
import { observeMatches } from "./observe-matches.ts";
import type { Question } from "./question.ts";
import type { Tier } from "./tiers/tier.ts";
import { tellDenials, verifySample } from "./verification.ts";

interface Settled {
  question: Question;
  matches: Matches;
  claims: Claims;
  push: OneAnswer;
  origin: Tier | undefined;
  /** When the look-up began, in ms since the epoch. */
  askedAt: number;
}

/** What comes of an answer, behind it: claims are verified, and the catalog hears what the Cloud Controller has said. */
export function followUp(settled: Settled, context: RequestContext): void {
  verify(settled, context);
  observe(settled, context);
}

function verify({ question, claims, push, origin }: Settled, context: RequestContext): void {
  const { isHeld, heldBy, relied, isVerified } = claims;
  const isUnverified = (index: number) => isHeld[index] === 1 && heldBy[index] !== ORIGIN;
  // What an earlier request of the push was told is verified with that one; a question that is doubtful stays so.
  const isToldFirst = (index: number) => isUnverified(index) && (isVerified || !relied[index]);
  if (!isHeld.some((_, index) => isToldFirst(index))) context.waitUntil(push.unclaimed());
  if (!origin || isVerified) return;
  const unverified = [...question.candidates.keysWhere(isUnverified).keys()];
  if (unverified.length > 0) context.waitUntil(verifySample(unverified, origin, context));
}

function observe({ matches, askedAt }: Settled, context: RequestContext): void {
  const { matchedByOrigin, deniedByOrigin, isSuspended } = matches;
  if (matchedByOrigin.length > 0) context.waitUntil(observeMatches(matchedByOrigin, askedAt, context));
  // What it lacks is news only where the cache would have claimed it, but for the suspension.
  if (isSuspended && deniedByOrigin.length > 0) {
    const said = { held: matchedByOrigin, denied: deniedByOrigin };
    context.waitUntil(tellDenials(said, askedAt, context));
  }
}
