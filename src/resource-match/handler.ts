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

/** Answers `POST /v3/resource_matches`: which of the files of an app the platform already holds. */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const { mode, cloudControllerUrl } = context.configuration;
  if (mode === "shadow" && cloudControllerUrl) return handleInShadow(request, cloudControllerUrl, context);
  const account = new RequestMetrics(context);
  const outcome = await handle(request, account, context).catch(Failure.unexpected);
  account.close(outcome);
  return outcome;
}

async function handle(
  request: Request,
  account: RequestMetrics,
  context: RequestContext,
): Promise<Response | Failure> {
  const body = await readRequestBody(request);
  account.watch.lap("body");
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  account.watch.lap("token");
  if (caller instanceof Failure) return caller;
  const refusal = await authorizePush(caller, context);
  if (refusal) return refusal;
  const question = parseMatchRequest(body, context.configuration.eligibility);
  if (question instanceof Failure) return question;
  const authorization = request.headers.get("Authorization") ?? "";
  const asker = { id: caller.id, pushId: pushIdOf(request.headers), authorization };
  const answered = await resolveRequest(question, asker, context);
  if (answered instanceof Failure) return answered;
  account.answered(question, answered);
  return answered.response;
}
