import { consumePoolEvents } from "./catalog/consumer.ts";
import { configurationOf, type Env, type Misconfiguration } from "./configuration.ts";
import { Failure } from "./failure.ts";
import { causeOf, createLog, type Log } from "./log.ts";
import type { RequestContext } from "./request-context.ts";
import { vcapRequestId } from "./request-id.ts";
import { route } from "./router.ts";

/** Nothing is lost while an operator puts the configuration right. */
const MISCONFIGURED_RETRY_SECONDS = 300;

export { Catalog } from "./catalog/catalog.ts";
export { PushMemory } from "./push-memory/push-memory.ts";

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const requestId = vcapRequestId(request.headers);
    const log = createLog({ requestId });

    const outcome = await answer(request, env, {
      requestId,
      log,
      waitUntil: (promise) => ctx.waitUntil(promise),
    }).catch((error) => unexpected(error, log));
    const response = outcome instanceof Failure ? report(outcome, log) : outcome;
    // What was passed through bears the Cloud Controller's id; an upgrade to a WebSocket can bear none.
    if (!response.webSocket && !response.headers.has("X-Vcap-Request-Id")) {
      response.headers.set("X-Vcap-Request-Id", requestId);
    }
    return response;
  },

  async queue(batch, env): Promise<void> {
    const log = createLog({ queue: batch.queue });
    const configuration = configurationOf(env);
    if (Array.isArray(configuration)) {
      misconfigured(configuration, log);
      return batch.retryAll({ delaySeconds: MISCONFIGURED_RETRY_SECONDS });
    }
    await consumePoolEvents(batch, { configuration, log });
  },
} satisfies ExportedHandler<Env>;

async function answer(
  request: Request,
  env: Env,
  context: Omit<RequestContext, "configuration">,
): Promise<Response | Failure> {
  const configuration = configurationOf(env);
  if (Array.isArray(configuration)) return misconfigured(configuration, context.log);
  return route(request, { configuration, ...context });
}

function misconfigured(variables: Misconfiguration[], log: Log): Failure {
  for (const variable of variables) log.error("misconfigured", { ...variable });
  return new Failure("unknown", `wrong: ${variables.map(({ variable }) => variable).join(", ")}`);
}

function unexpected(error: unknown, log: Log): Failure {
  log.error("unexpected", { cause: causeOf(error), stack: error instanceof Error ? error.stack : undefined });
  return new Failure("unknown", causeOf(error));
}

function report(failure: Failure, log: Log): Response {
  const level = failure.status >= 500 ? "error" : "info";
  log[level]("refused", { status: failure.status, failure: failure.kind, reason: failure.reason });
  return failure.toResponse();
}
