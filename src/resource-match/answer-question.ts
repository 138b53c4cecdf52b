import type { Contents } from "../cache/contents.ts";
import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Deadline } from "../deadline.ts";
import { jsonResponse } from "../failure.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { OneAnswer } from "../push-memory/one-answer.ts";
import type { Recalled } from "../push-memory/push-memory.ts";
import { TOLD_NO, TOLD_YES } from "../push-memory/tellings.ts";
import type { RequestContext } from "../request-context.ts";
import { CACHE, type Matches, matchResources, NOBODY, ORIGIN } from "./match.ts";
import { observeMatches } from "./observe-matches.ts";
import type { Question } from "./question.ts";
import { reportMatches } from "./telemetry.ts";
import { originTier } from "./tiers/origin.ts";
import type { Tier } from "./tiers/tier.ts";
import { reportDenials, verifyClaims, verifySample } from "./verification.ts";

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
 * requests of the same push were told.
 */
export async function answerQuestion(
  question: Question,
  { id, authorization }: Asker,
  context: RequestContext,
): Promise<Response> {
  const { configuration, requestId, waitUntil } = context;
  const { cloudControllerUrl: url } = configuration;
  const { candidates, isEligible } = question;
  const cache = edgeCacheOf(configuration);
  const origin = url === undefined ? undefined : originTier({ url, authorization, requestId });
  const push = new OneAnswer(candidates, id, context);

  // What the Cloud Controller matches is true as of the moment before it is asked.
  const askedAt = Date.now();
  const deadline = new Deadline(configuration.lookupDeadlineMs);
  const matches = await matchResources(candidates.only(isEligible), { cache, origin }, deadline, context);
  if (matches instanceof Response) return matches;

  const recalled = await push.recalled();
  const heldBy = spread(matches.heldBy(), isEligible);
  const claimed = believed(heldBy, recalled);
  const isVerified = recalled.isDoubtful && origin !== undefined;
  if (isVerified) await dropDenied(candidates, claimed, recalled, { origin, push, context });
  let told: Uint8Array = claimed.map((by) => (by === NOBODY ? TOLD_NO : TOLD_YES));
  if (question.count === RESOURCES_PER_REQUEST_MAX) told = await push.settle(told);

  const isHeld = told.map((mark) => (mark === TOLD_YES ? 1 : 0));
  const { bytes, hasOtherModes } = question.answer(isHeld);
  const warnings = matches.faults.map(({ warning }) => warning);
  if (hasOtherModes) warnings.push(MODE_WARNING);
  const held = isHeld.reduce((sum, mark) => sum + mark, 0);
  reportMatches(question.count, held, matches, context);

  const isUnverified = (index: number) => isHeld[index] === 1 && heldBy[index] !== ORIGIN;
  if (!isHeld.some((_, index) => isUnverified(index))) waitUntil(push.unclaimed());
  else if (origin && !isVerified) {
    waitUntil(verifySample([...candidates.keysWhere(isUnverified).keys()], origin, context));
  }
  observe(matches, askedAt, context);
  return answer(bytes, warnings);
}

/** The answer with this body. */
export function answer(body: string | Uint8Array<ArrayBuffer>, warnings: readonly string[] = []): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(body, 201, headers);
}

/** What is said of the eligible resources, of all. */
function spread(ofEligible: Uint8Array, isEligible: Uint8Array): Uint8Array {
  let place = 0;
  return isEligible.map((is) => (is ? (ofEligible[place++] as number) : NOBODY));
}

/** Who is believed on each resource: what the push was told before stands, whoever says what now. */
function believed(heldBy: Uint8Array, { told }: Recalled): Uint8Array {
  return heldBy.map((by, index) => {
    if (told[index] === TOLD_NO) return NOBODY;
    return told[index] === TOLD_YES ? by || CACHE : by;
  });
}

/**
 * The same question again: most likely a push that has failed, over a claim of the cache. What the Cloud Controller does
 * not confirm now is not claimed, once it has denied anything.
 */
async function dropDenied(
  candidates: Contents,
  claimed: Uint8Array,
  { told }: Recalled,
  { origin, push, context }: { origin: Tier; push: OneAnswer; context: RequestContext },
): Promise<void> {
  const doubtful = candidates.keysWhere((index) => claimed[index] === CACHE);
  if (doubtful.size === 0) return;
  const verified = await verifyClaims([...doubtful.keys()], origin, context);
  if (verified.denied.length === 0) return;
  const [confirmed, denied] = [new Set(verified.held), new Set(verified.denied)];
  const wrong: number[] = [];
  for (const [key, places] of doubtful) {
    if (confirmed.has(key)) continue;
    for (const index of places) {
      // A yes that was told stands, for a push that is running, unless it is denied.
      if (told[index] === TOLD_YES && !denied.has(key)) continue;
      if (told[index] === TOLD_YES) wrong.push(index);
      claimed[index] = NOBODY;
    }
  }
  if (wrong.length > 0) await push.deny(wrong);
}

/** Tells the catalog, behind the answer, what the Cloud Controller has said. */
function observe(
  { cached, matchedByOrigin, deniedByOrigin }: Matches,
  askedAt: number,
  context: RequestContext,
): void {
  if (matchedByOrigin.length > 0) context.waitUntil(observeMatches(matchedByOrigin, askedAt, context));
  // What it lacks is news only where the cache would have claimed it.
  if (cached.isSuspended && deniedByOrigin.length > 0) {
    const said = { held: matchedByOrigin, denied: deniedByOrigin };
    context.waitUntil(reportDenials(said, askedAt, context));
  }
}
