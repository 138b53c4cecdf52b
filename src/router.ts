import { IttyRouter } from "itty-router/IttyRouter";
import { Failure } from "./failure.ts";
import {
  forgetEverything,
  listResources,
  publishAnew,
  showStatus,
  takeObservations,
} from "./operator-api/handlers.ts";
import { passThrough } from "./pass-through.ts";
import type { RequestContext } from "./request-context.ts";
import { handleResourceMatches } from "./resource-match/handler.ts";

const MATCHES = "/v3/resource_matches";
const CACHE = `${MATCHES}/cache`;

const router = IttyRouter();
router
  .post(MATCHES, handleResourceMatches)
  .get(CACHE, showStatus)
  .delete(CACHE, forgetEverything)
  .get(`${CACHE}/resources`, listResources)
  .post(`${CACHE}/observations`, takeObservations)
  .post(`${CACHE}/publication`, publishAnew)
  // The operator's way in is this Worker's alone: no Cloud Controller hears of it.
  .all(`${CACHE}/*`, unknownRequest)
  .all("*", (request: Request, context: RequestContext) =>
    context.configuration.cloudControllerUrl ? passThrough(request, context) : unknownRequest(request),
  );

/** Answers a request by its method and path. */
export function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  return router.fetch(request, context);
}

function unknownRequest({ method, url }: Request): Failure {
  return new Failure("unknown-request", `${method} ${new URL(url).pathname}`);
}
