import { authenticate, type Caller } from "../auth/authentication.ts";
import { authorizePush } from "../auth/authorization.ts";
import { type EarlyReads, edgeCacheOf } from "../cache/edge-cache.ts";
import { Failure } from "../failure.ts";
import { readRequestBody } from "../http/body.ts";
import { PROBE_HEADER } from "../http/probe.ts";
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
  // While the body arrives, the token is verified, and the manifest is read.
  const early = startEarlyReads(request, context);
  const authentication = authenticateEarly(request, early, context).catch(Failure.unexpected);
  const body = await readRequestBody(request);
  watch.lap("body");
  if (body instanceof Failure) return body;
  const caller = await authentication;
  watch.lap("token");
  const outcome =
    caller instanceof Failure
      ? caller
      : await matchResources(request, body, { caller, early, push }, context).catch(Failure.unexpected);
  if (!(outcome instanceof Failure) || !cloudControllerUrl || !isOwnFailure(outcome)) return outcome;
  outcome.logDetails(log);
  const reason = `${outcome.kind}: ${outcome.reason}`;
  return failOpen(reason, new Request(request, { body }), cloudControllerUrl, push, configuration);
}

/** Reads nothing for a request that is certainly refused. */
function startEarlyReads(request: Request, context: RequestContext): EarlyReads | undefined {
  const { configuration } = context;
  const isWanted = configuration.features.resourceMatching && request.headers.has("Authorization");
  return isWanted ? edgeCacheOf(configuration).startEarlyReads(context) : undefined;
}

async function authenticateEarly(
  request: Request,
  early: EarlyReads | undefined,
  context: RequestContext,
): Promise<Caller | Failure> {
  const caller = await authenticate(request, context);
  if (!(caller instanceof Failure)) early?.loadSnapshot();
  return caller;
}

interface Sender {
  caller: Caller;
  push: Push;
  early: EarlyReads | undefined;
}

async function matchResources(
  request: Request,
  body: Uint8Array,
  { caller, push, early }: Sender,
  context: RequestContext,
): Promise<Resolved | Failure> {
  push.caller = caller.id;
  const refusal = await authorizePush(caller, context);
  if (refusal) return refusal;
  const matchRequest = parseMatchRequest(body, context.configuration.eligibility);
  if (matchRequest instanceof Failure) return matchRequest;
  const requester = {
    id: caller.id,
    pushId: push.id,
    authorization: request.headers.get("Authorization") ?? "",
    isProbe: request.headers.has(PROBE_HEADER),
  };
  return resolveRequest(matchRequest, requester, early, context);
}
