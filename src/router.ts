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

const HANDLERS = new Map<string, Handler>([
  [`POST ${MATCHES}`, handleResourceMatches],
  [`GET ${CACHE}`, getStatus],
  [`DELETE ${CACHE}`, forgetEverything],
  [`GET ${CACHE}/resources`, listResources],
  [`POST ${CACHE}/observations`, reportObservations],
  [`POST ${CACHE}/publication`, republish],
]);

/**
 * Routes a request by its exact method and path. Other requests are passed through to the Cloud Controller, if one is
 * configured, except those of the operator API.
 */
export async function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  // The runtime takes the host of the URL from the Host header, unchecked.
  const url = URL.parse(request.url);
  if (!url) return new Failure({ kind: "no-host", reason: "the URL is not valid" });
  const handler = HANDLERS.get(`${request.method} ${url.pathname}`);
  if (handler) return handler(request, context);
  const { cloudControllerUrl } = context.configuration;
  if (cloudControllerUrl && !isOperatorRequest(request)) return passThrough(request, cloudControllerUrl);
  return new Failure({ kind: "unknown-request", reason: `${request.method} ${url.pathname}` });
}

/** Whether the path belongs to the operator API, which the Cloud Controller does not have. */
export function isOperatorRequest({ url }: Request): boolean {
  const { pathname = "" } = URL.parse(url) ?? {};
  return `${pathname}/`.startsWith(`${CACHE}/`);
}
