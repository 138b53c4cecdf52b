import type { IRequest } from "itty-router";
import { IttyRouter } from "itty-router/IttyRouter";
import { Failure } from "./failure.ts";
import {
  forgetEverything,
  getStatus,
  listResources,
  reportObservations,
  republish,
} from "./operator-api/handlers.ts";
import { passThrough } from "./pass-through.ts";
import type { RequestContext } from "./request-context.ts";
import { handleResourceMatches } from "./resource-match/handler.ts";

const MATCHES = "/v3/resource_matches";
const CACHE = `${MATCHES}/cache`;

/** What the router is shown of a request. */
type Routed = Pick<IRequest, "method" | "url">;
type Handler = (request: Request, context: RequestContext) => Promise<Response | Failure>;

const run = (handler: Handler) => (_: Routed, request: Request, context: RequestContext) =>
  handler(request, context);

const router = IttyRouter<IRequest, [Request, RequestContext]>();
router
  .post(MATCHES, run(handleResourceMatches))
  .get(CACHE, run(getStatus))
  .delete(CACHE, run(forgetEverything))
  .get(`${CACHE}/resources`, run(listResources))
  .post(`${CACHE}/observations`, run(reportObservations))
  .post(`${CACHE}/publication`, run(republish));

/**
 * Answers a request by its method and path, to the letter: a slash more is another path. The router never sees the query,
 * which it would collect at a cost that grows with the square of its length.
 */
export async function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  // The runtime makes the URL of the Host header, as it came.
  const url = URL.parse(request.url);
  if (!url) return new Failure({ kind: "no-host", reason: "the URL is not valid" });
  const routed = { method: request.method, url: `${url.origin}${url.pathname}` } as IRequest;
  const answer = url.pathname.endsWith("/") ? undefined : await router.fetch(routed, request, context);
  if (answer) return answer;
  const { cloudControllerUrl } = context.configuration;
  if (cloudControllerUrl && !isOperatorRequest(request)) return passThrough(request, cloudControllerUrl);
  return new Failure({ kind: "unknown-request", reason: `${request.method} ${url.pathname}` });
}

/** Whether a request takes the operator's way in, which is this Worker's alone: no Cloud Controller hears of it. */
export function isOperatorRequest({ url }: Request): boolean {
  const { pathname = "" } = URL.parse(url) ?? {};
  return `${pathname}/`.startsWith(`${CACHE}/`);
}
