import type { EarlyReads } from "../cache/edge-cache.ts";
import { Failure } from "../failure.ts";
import { formatCount, formatNumber } from "../format.ts";
import { jsonResponse } from "../http/json-response.ts";
import { PushSession } from "../push-sessions/push-session.ts";
import type { RequestContext } from "../request-context.ts";
import { reportMatches, reportRejections } from "./catalog-reports.ts";
import { type DecidedMatches, decideMatches } from "./decide-matches.ts";
import { lookUpMatches, type Matches, ORIGIN } from "./lookup.ts";
import type { CompletedModes, MatchRequest } from "./match-request.ts";
import { Origin, type OriginCaller } from "./origin.ts";
import { verifySample } from "./verification.ts";

/** Characters of a path in a warning. Proxies limit the size of headers, and a character takes up to nine bytes. */
const NAMED_PATH_MAX_LENGTH = 80;

/** The sender of a request. */
export interface Requester extends OriginCaller {
  /** Undefined if the client does not identify its push. */
  pushId: string | undefined;
  /** Whether the request only checks the Worker: no match is verified, and nothing is reported to the catalog. */
  isProbe: boolean;
}

/** The response, and its measurements for log and metrics. */
export interface Resolved {
  matchRequest: MatchRequest;
  response: Response;
  /** For the user who pushes. */
  warnings: string[];
  matches: Matches;
  decided: DecidedMatches;
  /** Whether the client identified its push. */
  isIdentified: boolean;
  isProbe: boolean;
}

/**
 * Responds with the resources that match: looks them up, decides, and starts the work after the response.
 *
 * @returns `relayed` if the Cloud Controller refuses the caller
 */
export async function resolveRequest(
  matchRequest: MatchRequest,
  requester: Requester,
  early: EarlyReads | undefined,
  context: RequestContext,
): Promise<Resolved | Failure> {
  const { cloudControllerUrl, features } = context.configuration;
  const { id, pushId, isProbe } = requester;
  const origin =
    cloudControllerUrl !== undefined && features.resourceMatching
      ? new Origin(cloudControllerUrl, requester, context)
      : undefined;
  const session = new PushSession(matchRequest.sessionRequest(), id, pushId ?? "", context);
  const lookupStartedAt = Date.now();
  const matches = await lookUpMatches(matchRequest, origin, early, context);
  if (matches instanceof Failure) return matches;
  for (const { details } of matches.faults) context.log.warn("lookup-incomplete", details);
  const verifier = isProbe ? undefined : origin;
  const decided = await decideMatches(matchRequest, matches, { session, origin: verifier }, context);
  const { bytes, completedModes } = matchRequest.responseBody(decided.isMatch);
  startVerification(matchRequest, decided, verifier, context);
  if (!isProbe) {
    context.waitUntil(reportMatches(matches.origin.matched, lookupStartedAt, context));
    // The suspended cache may have the files that the Cloud Controller does not match.
    if (matches.isSuspended) context.waitUntil(reportRejections(matches.origin, lookupStartedAt, context));
  }

  const warnings = matches.faults.map(({ warning }) => warning);
  if (completedModes.count > 0) warnings.push(modeWarning(completedModes));
  const response = toResponse(bytes, warnings);
  const isIdentified = pushId !== undefined;
  return { matchRequest, response, warnings, matches, decided, isIdentified, isProbe };
}

/** Starts to verify a sample of the matches that the Cloud Controller has not verified. */
function startVerification(
  { candidates }: MatchRequest,
  { isMatch, foundBy, verified }: DecidedMatches,
  origin: Origin | undefined,
  context: RequestContext,
): void {
  if (!origin || verified) return;
  const keys = candidates.keysWhere((index) => isMatch[index] === 1 && foundBy[index] !== ORIGIN);
  if (keys.size > 0) context.waitUntil(verifySample([...keys.keys()], origin, context));
}

function modeWarning({ count, paths }: CompletedModes): string {
  const rest = count - paths.length;
  const more = rest > 0 && paths.length > 0 ? ` and ${formatNumber(rest)} more` : "";
  const names = paths.length > 0 ? `: ${paths.map(printablePath).join(", ")}${more}` : "";
  return (
    `${formatCount(count, "file")} got the permissions that the platform requires, because this push matched the same ` +
    `content before${names}.`
  );
}

/** A path must not control the terminal of the user who pushes. `encodeURIComponent` refuses lone surrogates. */
function printablePath(path: string): string {
  const text = path.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "\ufffd");
  const end = text.slice(-NAMED_PATH_MAX_LENGTH);
  return (end === text ? text : `…${end}`).toWellFormed();
}

function toResponse(body: Uint8Array<ArrayBuffer>, warnings: readonly string[]): Response {
  // cf CLI splits the header at commas, and aborts on an invalid escape.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(body, 201, headers);
}
