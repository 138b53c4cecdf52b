import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Deadline } from "../deadline.ts";
import { jsonResponse } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";
import { answerText } from "./answer.ts";
import { matchResources } from "./match.ts";
import { observeMatches } from "./observe-matches.ts";
import type { Resource } from "./request.ts";
import { reportMatches } from "./telemetry.ts";
import { originTier } from "./tiers/origin.ts";

/**
 * Answers with those of `resources` that the pool holds, and tells the catalog behind the answer what the Cloud
 * Controller has matched.
 *
 * @param authorization the caller's own header, for the Cloud Controller
 */
export async function answerResources(
  resources: readonly Resource[],
  authorization: string,
  context: RequestContext,
): Promise<Response> {
  const { configuration, requestId } = context;
  const { cloudControllerUrl: url } = configuration;
  const cache = edgeCacheOf(configuration);
  const origin = url === undefined ? undefined : originTier({ url, authorization, requestId });

  // What the Cloud Controller matches is true as of the moment before it is asked.
  const askedAt = Date.now();
  const deadline = new Deadline(configuration.lookupDeadlineMs);
  const matches = await matchResources(
    resources,
    configuration.eligibility,
    { cache, origin },
    deadline,
    context,
  );
  if (matches instanceof Response) return matches;
  reportMatches(resources.length, matches, context);
  if (matches.matchedByOrigin.length > 0) {
    context.waitUntil(observeMatches(matches.matchedByOrigin, askedAt, context));
  }
  return answer(
    matches.resources,
    matches.faults.map(({ warning }) => warning),
  );
}

/** The answer that names these resources, in their order. */
export function answer(resources: readonly Resource[], warnings: readonly string[] = []): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(answerText(resources), 201, headers);
}
