import { Failure } from "./failure.ts";
import { readRequestBody } from "./http/body.ts";
import { addVia } from "./http/via.ts";
import { causeOf } from "./observability/log.ts";

/** Headers of one connection. Upgrade is not one of them: the Cloud Controller handles it. */
const CONNECTION_HEADERS = [
  "Connection",
  "Keep-Alive",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Proxy-Connection",
  "TE",
  "Trailer",
  "Transfer-Encoding",
];

/** RFC 9110, section 5.6.2. */
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;
/** A client can't remove what Cloudflare and proxies add by naming it in Connection. */
const PROTECTED_HEADER = /^(upgrade|cf-.*|x-forwarded-.*|x-real-ip)$/i;

/**
 * Passes a request to the Cloud Controller and returns its response. Both are streamed. Only headers of the connection are
 * removed. Redirects are returned, and WebSocket upgrades work.
 *
 * @param cloudControllerUrl CLOUD_CONTROLLER_URL, without a trailing slash
 */
export async function passThrough(request: Request, cloudControllerUrl: string): Promise<Response | Failure> {
  const { pathname, search } = new URL(request.url);
  // Concatenated, not resolved: no path can name another host.
  const url = `${cloudControllerUrl}${pathname}${search}`;
  const forwardable = await toForwardable(request);
  if (forwardable instanceof Failure) return forwardable;
  try {
    const forwarded = new Request(url, forwardable);
    removeConnectionHeaders(forwarded.headers);
    setForwardedHeaders(forwarded.headers, new URL(request.url));
    addVia(forwarded.headers);
    const response = await fetch(forwarded);
    return response.webSocket ? response : new Response(response.body, response);
  } catch (error) {
    return new Failure({ kind: "cloud-controller-unavailable", reason: causeOf(error) });
  }
}

/** The runtime drops the body of a GET without Content-Length. Such a request is forwarded only if its body is empty. */
async function toForwardable(request: Request): Promise<Request | Failure> {
  const { method, headers, body, url } = request;
  const init = { redirect: "manual", cache: "no-store" } as const;
  if ((method !== "GET" && method !== "HEAD") || !body || headers.has("Content-Length")) {
    return new Request(request, init);
  }
  const empty = await readRequestBody(request, 0);
  if (!(empty instanceof Failure)) return new Request(url, { method, headers, ...init });
  if (empty.kind !== "body-too-large") return empty;
  return new Failure({ kind: "length-required", reason: empty.reason });
}

/** RFC 9110, section 7.6.1: a proxy removes the headers of the connection and those that Connection names. */
function removeConnectionHeaders(headers: Headers): void {
  const named = headers.get("Connection")?.split(",") ?? [];
  const removable = named
    .map((name) => name.trim())
    .filter((name) => HEADER_NAME.test(name) && !PROTECTED_HEADER.test(name));
  for (const name of [...removable, ...CONNECTION_HEADERS]) headers.delete(name);
}

function setForwardedHeaders(headers: Headers, { host, protocol }: URL): void {
  const client = headers.get("CF-Connecting-IP");
  const path = headers.get("X-Forwarded-For")?.split(/,\s*/) ?? [];
  // Cloudflare has added the client already if there is no other proxy before this Worker.
  if (client && path.at(-1) !== client) headers.set("X-Forwarded-For", [...path, client].join(", "));
  headers.set("X-Forwarded-Host", host);
  headers.set("X-Forwarded-Proto", protocol.replace(":", ""));
}
