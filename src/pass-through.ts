import { Failure } from "./failure.ts";
import { readRequestBody } from "./http/body.ts";
import { causeOf } from "./observability/log.ts";

/** What HTTP means for one connection alone; an Upgrade is the Cloud Controller's to take. */
const OF_CONNECTION = [
  "Connection",
  "Keep-Alive",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Proxy-Connection",
  "TE",
  "Trailer",
  "Transfer-Encoding",
];

/** A name that Connection can mean: RFC 9110, section 5.6.2. */
const HEADER = /^[\w!#$%&'*+.^`|~-]+$/;
/** No client takes away by its Connection what Cloudflare and proxies say of it. */
const KEPT = /^(upgrade|cf-.*|x-forwarded-.*|x-real-ip)$/i;

/**
 * Hands a request on to the Cloud Controller and its answer back, both streamed and as they came: method, path,
 * query, headers but those of the connection, status; redirects are the client's to follow, and WebSocket upgrades go through.
 *
 * @param cloudControllerUrl CLOUD_CONTROLLER_URL, without a slash at its end
 */
export async function passThrough(request: Request, cloudControllerUrl: string): Promise<Response | Failure> {
  const { pathname, search } = new URL(request.url);
  // Put together as text: no path, however it begins, can name another host.
  const url = `${cloudControllerUrl}${pathname}${search}`;
  const original = await originalOf(request);
  if (original instanceof Failure) return original;
  try {
    const forwarded = new Request(url, original);
    dropOfConnection(forwarded.headers);
    setForwardedHeaders(forwarded.headers, new URL(request.url));
    const response = await fetch(forwarded);
    return response.webSocket ? response : new Response(response.body, response);
  } catch (error) {
    return new Failure({ kind: "cloud-controller-unavailable", reason: causeOf(error) });
  }
}

/** The request as it can be sent on: the runtime sends a GET's body only where its length is known, and drops any other. */
async function originalOf(request: Request): Promise<Request | Failure> {
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

/** RFC 9110, section 7.6.1: a proxy keeps for itself what is for it, and what Connection names. */
function dropOfConnection(headers: Headers): void {
  const named =
    headers
      .get("Connection")
      ?.split(",")
      .map((name) => name.trim()) ?? [];
  for (const name of [...named.filter((each) => HEADER.test(each) && !KEPT.test(each)), ...OF_CONNECTION]) {
    headers.delete(name);
  }
}

/** As proxies do: who asked, for which host, by which protocol. */
function setForwardedHeaders(headers: Headers, { host, protocol }: URL): void {
  const client = headers.get("CF-Connecting-IP");
  const path = headers.get("X-Forwarded-For")?.split(/,\s*/) ?? [];
  // Cloudflare has put the client there already, where nothing stands before this Worker.
  if (client && path.at(-1) !== client) headers.set("X-Forwarded-For", [...path, client].join(", "));
  headers.set("X-Forwarded-Host", host);
  headers.set("X-Forwarded-Proto", protocol.replace(":", ""));
}
