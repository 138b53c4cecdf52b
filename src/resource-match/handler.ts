import { authenticate } from "../auth/authentication.ts";
import { authorizePush } from "../auth/authorization.ts";
import { Failure } from "../failure.ts";
import { readRequestBody } from "../http/body.ts";
import { pushIdOf } from "../push-sessions/push-id.ts";
import type { RequestContext } from "../request-context.ts";
import { parseMatchRequest } from "./match-request.ts";
import { RequestMetrics } from "./request-metrics.ts";
import { resolveRequest } from "./resolve-request.ts";
import { handleInShadow } from "./shadow.ts";

/** Handles `POST /v3/resource_matches`: which files of an app are in the pool? */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const { mode, cloudControllerUrl } = context.configuration;
  if (mode === "shadow" && cloudControllerUrl) return handleInShadow(request, cloudControllerUrl, context);
  const metrics = new RequestMetrics(context);
  const outcome = await matchResources(request, metrics, context).catch(Failure.unexpected);
  metrics.report(outcome);
  return outcome;
}

async function matchResources(
  request: Request,
  metrics: RequestMetrics,
  context: RequestContext,
): Promise<Response | Failure> {
  const body = await readRequestBody(request);
  metrics.watch.lap("body");
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  metrics.watch.lap("token");
  if (caller instanceof Failure) return caller;
  const refusal = await authorizePush(caller, context);
  if (refusal) return refusal;
  const matchRequest = parseMatchRequest(body, context.configuration.eligibility);
  if (matchRequest instanceof Failure) return matchRequest;
  const requester = {
    id: caller.id,
    pushId: pushIdOf(request.headers),
    authorization: request.headers.get("Authorization") ?? "",
  };
  const resolved = await resolveRequest(matchRequest, requester, context);
  if (resolved instanceof Failure) return resolved;
  metrics.addResolved(matchRequest, resolved);
  return resolved.response;
}
