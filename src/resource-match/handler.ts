import { authenticate } from "../auth/authentication.ts";
import { authorizePush } from "../auth/authorization.ts";
import { Failure } from "../failure.ts";
import { readRequestBody } from "../http/body.ts";
import { Stopwatch } from "../observability/stopwatch.ts";
import { pushIdOf } from "../push-sessions/push-id.ts";
import type { RequestContext } from "../request-context.ts";
import { failOpen, hasFailedOpen, isOwnFailure, type Push } from "./fail-open.ts";
import { parseMatchRequest } from "./match-request.ts";
import { guardTelemetry, reportRequest } from "./request-metrics.ts";
import { type Resolved, resolveRequest } from "./resolve-request.ts";
import { handleInShadow } from "./shadow.ts";

/** Handles `POST /v3/resource_matches`: which files of an app are in the pool? */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const { mode, cloudControllerUrl } = context.configuration;
  if (mode === "shadow" && cloudControllerUrl) return handleInShadow(request, cloudControllerUrl, context);
  const watch = new Stopwatch("body", "token");
  const push: Push = { id: pushIdOf(request.headers), caller: undefined };
  const outcome = await matchOrFailOpen(request, push, watch, context);
  guardTelemetry(context.log, () => reportRequest(outcome, watch, context));
  return outcome instanceof Failure ? outcome : outcome.response;
}

async function matchOrFailOpen(
  request: Request,
  push: Push,
  watch: Stopwatch<"body" | "token">,
  context: RequestContext,
): Promise<Resolved | Failure> {
  const { configuration, log } = context;
  const { cloudControllerUrl } = configuration;
  if (cloudControllerUrl && hasFailedOpen(push, configuration)) {
    const reason = "an earlier request of the push failed open";
    return failOpen(reason, request, cloudControllerUrl, push, configuration);
  }
  const body = await readRequestBody(request);
  watch.lap("body");
  if (body instanceof Failure) return body;
  const outcome = await matchResources(request, body, push, watch, context).catch(Failure.unexpected);
  if (!(outcome instanceof Failure) || !cloudControllerUrl || !isOwnFailure(outcome)) return outcome;
  outcome.logDetails(log);
  const reason = `${outcome.kind}: ${outcome.reason}`;
  return failOpen(reason, new Request(request, { body }), cloudControllerUrl, push, configuration);
}

async function matchResources(
  request: Request,
  body: Uint8Array,
  push: Push,
  watch: Stopwatch<"body" | "token">,
  context: RequestContext,
): Promise<Resolved | Failure> {
  const caller = await authenticate(request, context);
  watch.lap("token");
  if (caller instanceof Failure) return caller;
  push.caller = caller.id;
  const refusal = await authorizePush(caller, context);
  if (refusal) return refusal;
  const matchRequest = parseMatchRequest(body, context.configuration.eligibility);
  if (matchRequest instanceof Failure) return matchRequest;
  const requester = {
    id: caller.id,
    pushId: push.id,
    authorization: request.headers.get("Authorization") ?? "",
  };
  return resolveRequest(matchRequest, requester, context);
}
