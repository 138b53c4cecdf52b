import { consumePoolEvents } from "./catalog/consumer.ts";
import { configurationOf, type Env, usableCloudController, usableMetrics } from "./configuration.ts";
import { Failure } from "./failure.ts";
import { vcapRequestId } from "./http/request-id.ts";
import { traceHeadersOf, traceIdOf } from "./http/trace-headers.ts";
import { isLoop } from "./http/via.ts";
import { createLog, type Log } from "./observability/log.ts";
import { writePoint } from "./observability/metrics.ts";
import { passThrough } from "./pass-through.ts";
import type { RequestContext } from "./request-context.ts";
import { isMatchRequest, isOperatorRequest, route } from "./router.ts";

/** The queue keeps events until an operator has corrected the configuration. */
const MISCONFIGURED_RETRY_SECONDS = 300;

export { Catalog } from "./catalog/catalog.ts";
export { PushSessions } from "./push-sessions/push-sessions.ts";

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const requestId = vcapRequestId(request.headers);
    const traceId = traceIdOf(request.headers);
    const log = createLog({ requestId, traceId });
    const traceHeaders = traceHeadersOf(request.headers);
    const waitUntil = (promise: Promise<unknown>) => ctx.waitUntil(promise);

    const outcome = await respond(request, env, { requestId, traceHeaders, log, waitUntil }).catch(
      Failure.unexpected,
    );
    if (outcome instanceof Failure) outcome.logRefusal(log);
    const response = outcome instanceof Failure ? outcome.toResponse() : outcome;
    // The headers of a WebSocket upgrade can't be changed.
    if (response.webSocket) return response;
    for (const [name, value] of Object.entries({ "X-Vcap-Request-Id": requestId, ...traceHeaders })) {
      // A response of the Cloud Controller keeps its own.
      if (!response.headers.has(name)) response.headers.set(name, value);
    }
    return response;
  },

  async queue(batch, env): Promise<void> {
    const log = createLog({ queue: batch.queue });
    const configuration = configurationOf(env);
    if (configuration instanceof Failure) {
      configuration.logDetails(log);
      return batch.retryAll({ delaySeconds: MISCONFIGURED_RETRY_SECONDS });
    }
    await consumePoolEvents(batch, { configuration, log });
  },
} satisfies ExportedHandler<Env>;

async function respond(
  request: Request,
  env: Env,
  context: Omit<RequestContext, "configuration">,
): Promise<Response | Failure> {
  if (isLoop(request.headers)) {
    return new Failure({ kind: "loop-detected", reason: "the Via header names this Worker" });
  }
  const configuration = configurationOf(env);
  if (!(configuration instanceof Failure)) return route(request, { configuration, ...context });
  const startedAt = Date.now();
  const outcome = await failOpenIfPossible(request, configuration, env, context.log);
  if (isMatchRequest(request)) {
    const kind = outcome instanceof Failure ? outcome.kind : "failed-open";
    const point = { outcome: kind, status: outcome.status, total_ms: Date.now() - startedAt };
    writePoint("resource_matches", point, usableMetrics(env), context.log);
  }
  return outcome;
}

async function failOpenIfPossible(
  request: Request,
  misconfigured: Failure,
  env: Env,
  log: Log,
): Promise<Response | Failure> {
  const cloudController = usableCloudController(env);
  if (!cloudController || isOperatorRequest(request)) return misconfigured;
  misconfigured.logDetails(log);
  log.warn("failed-open", { reason: misconfigured.kind });
  return passThrough(request, cloudController);
}
