import { configurationOf, type Env, type Misconfiguration } from "./configuration.ts";
import { Failure } from "./failure.ts";
import { causeOf, createLog, type Log } from "./log.ts";
import { vcapRequestId } from "./request-id.ts";
import { route } from "./router.ts";

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const requestId = vcapRequestId(request.headers);
    const log = createLog({ requestId });

    const outcome = await answer(request, env, ctx, log).catch((error) => unexpected(error, log));
    const response = outcome instanceof Failure ? report(outcome, log) : outcome;
    response.headers.set("X-Vcap-Request-Id", requestId);
    return response;
  },
} satisfies ExportedHandler<Env>;

async function answer(
  request: Request,
  env: Env,
  ctx: ExecutionContext,
  log: Log,
): Promise<Response | Failure> {
  const configuration = configurationOf(env);
  if (Array.isArray(configuration)) return misconfigured(configuration, log);
  return route(request, { configuration, log, waitUntil: (promise) => ctx.waitUntil(promise) });
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
