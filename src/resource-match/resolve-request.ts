import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Failure } from "../failure.ts";
import { jsonResponse } from "../http/json-response.ts";
import { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { Deadline } from "../time/deadline.ts";
import { startAfterResponse } from "./after-response.ts";
import { type DecidedMatches, decideMatches } from "./decide-matches.ts";
import { lookUpMatches, type Matches, noMatches } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import { Origin } from "./origin.ts";

const MODE_WARNING =
  "Files were matched with a mode that the platform takes, because their content was matched before.";

/** Who sends a request. */
export interface Requester {
  /** GUID of the user, or id of the client. */
  id: string;
  /** Undefined if the client does not identify its push. */
  pushId: string | undefined;
  /** The Authorization header, for the Cloud Controller. */
  authorization: string;
}

/** The response, and its measurements for log and metrics. */
export interface Resolved {
  response: Response;
  /** For the user who pushes. */
  warnings: string[];
  matches: Matches;
  decided: DecidedMatches;
  /** Whether the client identified its push. */
  isIdentified: boolean;
}

/**
 * Responds with the resources that match: looks them up, decides, and starts the work after the response.
 *
 * @returns `relayed` if the Cloud Controller refuses the caller
 */
export async function resolveRequest(
  matchRequest: MatchRequest,
  requester: Requester,
  context: RequestContext,
): Promise<Resolved | Failure> {
  const origin = originFor(requester, context);
  const session = new PushSession(
    matchRequest.sessionRequest(),
    requester.id,
    requester.pushId ?? "",
    context,
  );
  const lookupStartedAt = Date.now();
  const matches = await lookUpEligible(matchRequest, origin, context);
  if (matches instanceof Failure) return matches;
  for (const { details } of matches.faults) context.log.warn("lookup-incomplete", { ...details });
  const decided = await decideMatches(matchRequest, matches, { session, origin }, context);
  const { bytes, hasOtherModes } = matchRequest.responseBody(decided.isMatch);
  startAfterResponse({ matchRequest, matches, decided, origin, lookupStartedAt }, context);

  const warnings = matches.faults.map(({ warning }) => warning);
  if (hasOtherModes) warnings.push(MODE_WARNING);
  const isIdentified = requester.pushId !== undefined;
  return { response: toResponse(bytes, warnings), warnings, matches, decided, isIdentified };
}

/** The Cloud Controller, if one is configured and matching is enabled. */
function originFor({ authorization }: Requester, context: RequestContext): Origin | undefined {
  const { cloudControllerUrl, features } = context.configuration;
  if (cloudControllerUrl === undefined || !features.resourceMatching) return undefined;
  return new Origin(cloudControllerUrl, authorization, context);
}

async function lookUpEligible(
  { candidates, isEligible }: MatchRequest,
  origin: Origin | undefined,
  context: RequestContext,
): Promise<Matches | Failure> {
  const { features, lookupDeadlineMs } = context.configuration;
  const eligible = candidates.only(isEligible);
  if (!features.resourceMatching) return noMatches(eligible);
  const cache = edgeCacheOf(context.configuration);
  return lookUpMatches(eligible, { cache, origin }, new Deadline(lookupDeadlineMs), context);
}

function toResponse(body: Uint8Array<ArrayBuffer>, warnings: readonly string[]): Response {
  // cf CLI splits the header at commas, and aborts on an invalid escape.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(body, 201, headers);
}
