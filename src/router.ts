import { IttyRouter } from "itty-router/IttyRouter";
import { Failure } from "./failure.ts";
import type { RequestContext } from "./request-context.ts";
import { handleResourceMatches } from "./resource-match/handler.ts";

type Answer = Promise<Response | Failure>;

const router = IttyRouter();
router
  .post("/v3/resource_matches", handleResourceMatches)
  .all("*", ({ method, url }) => new Failure("unknown-request", `${method} ${new URL(url).pathname}`));

/** Answers a request by its method and path. */
export function route(request: Request, context: RequestContext): Answer {
  return router.fetch(request, context);
}
