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

type Handler = (request: Request, context: RequestContext) => Promise<Response | Failure>;

const MATCHES = "/v3/resource_matches";
const CACHE = `${MATCHES}/cache`;

/** By method and path, to the letter: a slash more is another path. */
const HANDLERS = new Map<string, Handler>([
  [`POST ${MATCHES}`, handleResourceMatches],
  [`GET ${CACHE}`, showStatus],
  [`DELETE ${CACHE}`, forgetEverything],
  [`GET ${CACHE}/resources`, listResources],
  [`POST ${CACHE}/observations`, takeObservations],
  [`POST ${CACHE}/publication`, publishAnew],
]);

/** Answers a request by its method and path; nobody looks at its query before its token. */
export async function route(request: Request, context: RequestContext): Promise<Response | Failure> {
  // The runtime makes the URL of the Host header, as it came.
  const url = URL.parse(request.url);
  if (!url) return new Failure("no-host", "the URL is not valid");
  const handler = HANDLERS.get(`${request.method} ${url.pathname}`);
  if (handler) return handler(request, context);
  // The operator's way in is this Worker's alone: no Cloud Controller hears of it.
  const isOperators = `${url.pathname}/`.startsWith(`${CACHE}/`);
  if (context.configuration.cloudControllerUrl && !isOperators) return passThrough(request, context);
  return new Failure("unknown-request", `${request.method} ${url.pathname}`);
}
