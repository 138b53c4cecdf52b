import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Deadline } from "../deadline.ts";
import { jsonResponse } from "../failure.ts";
import { OneAnswer } from "../push-memory/one-answer.ts";
import type { RequestContext } from "../request-context.ts";
import { settleClaims } from "./claims.ts";
import { type Matches, matchResources, noMatches, ORIGIN } from "./match.ts";
import { observeMatches } from "./observe-matches.ts";
import type { Question } from "./question.ts";
import { reportMatches } from "./telemetry.ts";
import { originTier, RESOURCES_PER_QUICK_QUESTION } from "./tiers/origin.ts";
import { tellDenials, verifySample } from "./verification.ts";

const MODE_WARNING =
  "Files were matched with a mode that the platform takes, since their content had been matched before.";

/** Who asks. */
export interface Asker {
  /** GUID of the user or id of the client. */
  id: string;
  /** The Authorization header, for the Cloud Controller. */
  authorization: string;
}

/**
 * Answers with those of the resources that the pool holds: what the tiers say of each content, and over that what earlier
 * requests of the same push were told. Where matching is switched off the tiers say nothing, from one request of a push to
 * the next.
 */
export async function answerQuestion(
  question: Question,
  { id, authorization }: Asker,
  context: RequestContext,
): Promise<Response> {
  const { configuration, requestId, waitUntil } = context;
  const { cloudControllerUrl: url, lookupDeadlineMs, features } = configuration;
  const { candidates, isEligible } = question;
  const isAsked = url !== undefined && features.resourceMatching;
  const cloudController = isAsked ? { url, authorization, requestId } : undefined;
  const origin = cloudController && originTier(cloudController);
  const push = new OneAnswer(candidates, id, question.count, context);

  // What the Cloud Controller matches is true as of the moment before it is asked.
  const askedAt = Date.now();
  const deadline = new Deadline(lookupDeadlineMs);
  const eligible = candidates.only(isEligible);
  const matches = features.resourceMatching
    ? await matchResources(eligible, { cache: edgeCacheOf(configuration), origin }, deadline, context)
    : noMatches(eligible);
  if (matches instanceof Response) return matches;

  const quickOrigin =
    cloudController && originTier({ ...cloudController, resourcesPerQuestion: RESOURCES_PER_QUICK_QUESTION });
  const { isHeld, heldBy, relied, isVerified, overruled } = await settleClaims(
    question,
    matches,
    { push, quickOrigin },
    context,
  );
  const { bytes, hasOtherModes } = question.answer(isHeld);
  const warnings = matches.faults.map(({ warning }) => warning);
  if (hasOtherModes) warnings.push(MODE_WARNING);
  const matched = isHeld.reduce((sum, mark) => sum + mark, 0);
  const counts = { resources: question.count, eligible: eligible.count, matched };
  reportMatches(counts, matches, overruled, context);

  const isUnverified = (index: number) => isHeld[index] === 1 && heldBy[index] !== ORIGIN;
  // What an earlier request of the push was told is verified with that one; a question that is doubtful stays so.
  const isToldFirst = (index: number) => isUnverified(index) && (isVerified || !relied[index]);
  if (!isHeld.some((_, index) => isToldFirst(index))) waitUntil(push.unclaimed());
  if (origin && !isVerified) {
    const unverified = [...candidates.keysWhere(isUnverified).keys()];
    if (unverified.length > 0) waitUntil(verifySample(unverified, origin, context));
  }
  observe(matches, askedAt, context);
  return answer(bytes, warnings);
}

/** The answer with this body. */
function answer(body: Uint8Array<ArrayBuffer>, warnings: readonly string[] = []): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(body, 201, headers);
}

/** Tells the catalog, behind the answer, what the Cloud Controller has said. */
function observe(
  { cached, matchedByOrigin, deniedByOrigin }: Matches,
  askedAt: number,
  context: RequestContext,
): void {
  if (matchedByOrigin.length > 0) context.waitUntil(observeMatches(matchedByOrigin, askedAt, context));
  // What it lacks is news only where the cache would have claimed it, but for the suspension.
  if (cached.isSuspended && deniedByOrigin.length > 0) {
    const said = { held: matchedByOrigin, denied: deniedByOrigin };
    context.waitUntil(tellDenials(said, askedAt, context));
  }
}
