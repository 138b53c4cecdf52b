import { IttyRouter } from "itty-router/IttyRouter";
import { Failure } from "./failure.ts";
import { passThrough } from "./pass-through.ts";
import type { RequestContext } from "./request-context.ts";
import { handleResourceMatches } from "./resource-match/handler.ts";

const router = IttyRouter();
router
  .post("/v3/resource_matches", handleResourceMatches)
  .all("*", (request: Request, context: RequestContext) =>
    context.configuration.cloudControllerUrl
      ? passThrough(request, context)
      : new Failure("unknown-request", `${request.method} ${new URL(request.url).pathname}`),
  );

/** Answers a request by its method and path. */
export function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  return router.fetch(request, context);
}
