import { consumePoolEvents } from "./catalog/consumer.ts";
import { configurationOf, type Env, shadowedCloudController } from "./configuration.ts";
import { Failure } from "./failure.ts";
import { createLog } from "./log.ts";
import { passThrough } from "./pass-through.ts";
import type { RequestContext } from "./request-context.ts";
import { vcapRequestId } from "./request-id.ts";
import { isOperators, route } from "./router.ts";

/** Nothing is lost while an operator puts the configuration right. */
const MISCONFIGURED_RETRY_SECONDS = 300;

export { Catalog } from "./catalog/catalog.ts";
export { PushMemory } from "./push-memory/push-memory.ts";

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const requestId = vcapRequestId(request.headers);
    const log = createLog({ requestId });
    const waitUntil = (promise: Promise<unknown>) => ctx.waitUntil(promise);

    const outcome = await answer(request, env, { requestId, log, waitUntil }).catch(Failure.unexpected);
    if (outcome instanceof Failure) outcome.logRefusal(log);
    const response = outcome instanceof Failure ? outcome.toResponse() : outcome;
    // What was passed through bears the Cloud Controller's id; an upgrade to a WebSocket can bear none.
    if (!response.webSocket && !response.headers.has("X-Vcap-Request-Id")) {
      response.headers.set("X-Vcap-Request-Id", requestId);
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

async function answer(
  request: Request,
  env: Env,
  context: Omit<RequestContext, "configuration">,
): Promise<Response | Failure> {
  const configuration = configurationOf(env);
  if (!(configuration instanceof Failure)) return route(request, { configuration, ...context });
  const cloudController = shadowedCloudController(env);
  if (!cloudController || isOperators(request)) return configuration;
  // In shadow mode nothing that is wrong here keeps anybody from the Cloud Controller.
  configuration.logDetails(context.log);
  return passThrough(request, cloudController);
}
