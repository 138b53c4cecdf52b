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

type Handler = (request: Request, context: RequestContext) => Promise<Response | Failure>;

const MATCHES = "/v3/resource_matches";
const CACHE = `${MATCHES}/cache`;

const run = (handler: Handler) => (_: IRequest, request: Request, context: RequestContext) =>
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
 * Routes a request by its exact method and path. The router gets neither a trailing slash, which it would ignore, nor the query, which
 * it would collect at a cost that grows with the square of its length. Other requests are passed through to the Cloud Controller, if
 * one is configured, except those of the operator API.
 */
export async function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  // The runtime takes the host of the URL from the Host header, unchecked.
  const url = URL.parse(request.url);
  if (!url) return new Failure({ kind: "no-host", reason: "the URL is not valid" });
  const routed = { method: request.method, url: `${url.origin}${url.pathname}` } as IRequest;
  const response = url.pathname.endsWith("/") ? undefined : await router.fetch(routed, request, context);
  if (response) return response;
  const { cloudControllerUrl } = context.configuration;
  if (cloudControllerUrl && !isOperatorRequest(request)) return passThrough(request, cloudControllerUrl);
  return new Failure({ kind: "unknown-request", reason: `${request.method} ${url.pathname}` });
}

/** Whether this is a request of the endpoint. */
export function isMatchRequest({ method, url }: Request): boolean {
  return method === "POST" && URL.parse(url)?.pathname === MATCHES;
}

/** Whether the path belongs to the operator API, which the Cloud Controller does not have. */
export function isOperatorRequest({ url }: Request): boolean {
  const { pathname = "" } = URL.parse(url) ?? {};
  return `${pathname}/`.startsWith(`${CACHE}/`);
}
