import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Failure } from "../failure.ts";
import { jsonResponse } from "../http/json-response.ts";
import { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { Deadline } from "../time/deadline.ts";
import { startAfterResponse } from "./after-response.ts";
import { type DecidedMatches, decideMatches } from "./decide-matches.ts";
import { type Matches, matchResources, noMatches } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import { type Origin, originTier } from "./origin.ts";
import type { Tier } from "./tier.ts";

const MODE_WARNING =
  "Files were matched with a mode that the platform takes, since their content had been matched before.";

/** Who asks. */
export interface RequestOrigin {
  /** GUID of the user or id of the client. */
  id: string;
  /** Of the push; undefined if the client does not identify it. */
  pushId: string | undefined;
  /** The Authorization header, for the Cloud Controller. */
  authorization: string;
}

/** What is answered, and how it has come to that. */
export interface Resolved {
  response: Response;
  /** For the person who pushes. */
  warnings: string[];
  matches: Matches;
  decided: DecidedMatches;
  /** Whether the client identified its push. */
  isIdentified: boolean;
}

/**
 * Answers with those of the resources that the pool holds: as earlier requests of the same push decided, else what the
 * tiers say.
 *
 * @returns `relayed` if the Cloud Controller refuses the whole request
 */
export async function resolveRequest(
  question: MatchRequest,
  asker: RequestOrigin,
  context: RequestContext,
): Promise<Resolved | Failure> {
  const origin = originFor(asker, context);
  const session = new PushSession(question.sessionRequest(), asker.id, asker.pushId ?? "", context);
  // What the Cloud Controller matches is true as of the moment before it is asked.
  const askedAt = Date.now();
  const matches = await lookUp(question, origin?.(), context);
  if (matches instanceof Failure) return matches;
  for (const { details } of matches.faults) context.log.warn("lookup-incomplete", { ...details });
  const decided = await decideMatches(question, matches, { session, origin }, context);
  const { bytes, hasOtherModes } = question.responseBody(decided.isMatch);
  startAfterResponse({ question, matches, decided, origin, askedAt }, context);

  const warnings = matches.faults.map(({ warning }) => warning);
  if (hasOtherModes) warnings.push(MODE_WARNING);
  const isIdentified = asker.pushId !== undefined;
  return { response: matchesResponse(bytes, warnings), warnings, matches, decided, isIdentified };
}

/** The Cloud Controller, where it may be asked. */
function originFor(
  { authorization }: RequestOrigin,
  { configuration, requestId, traceHeaders }: RequestContext,
): Origin | undefined {
  const { cloudControllerUrl: url, features } = configuration;
  if (url === undefined || !features.resourceMatching) return undefined;
  return (resourcesPerRequest) =>
    originTier({ url, authorization, requestId, traceHeaders }, resourcesPerRequest);
}

/** What the tiers say; nothing where matching is switched off, from one request of a push to the next. */
async function lookUp(
  { candidates, isEligible }: MatchRequest,
  origin: Tier | undefined,
  context: RequestContext,
): Promise<Matches | Failure> {
  const { features, lookupDeadlineMs } = context.configuration;
  const eligible = candidates.only(isEligible);
  if (!features.resourceMatching) return noMatches(eligible);
  const sources = { cache: edgeCacheOf(context.configuration), origin };
  return matchResources(eligible, sources, new Deadline(lookupDeadlineMs), context);
}

/** The answer with this body. */
function matchesResponse(body: Uint8Array<ArrayBuffer>, warnings: readonly string[]): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(body, 201, headers);
}
