import { Failure } from "./failure.ts";
import { causeOf } from "./log.ts";
import type { RequestContext } from "./request-context.ts";

/**
 * Hands a request on to the Cloud Controller and its answer back, both streamed and as they came: method, path,
 * query, headers, status; redirects are the client's to follow, and WebSocket upgrades go through.
 */
export async function passThrough(
  request: Request,
  { configuration }: RequestContext,
): Promise<Response | Failure> {
  const { pathname, search } = new URL(request.url);
  // Put together as text: no path, however it begins, can name another host.
  const url = `${configuration.cloudControllerUrl}${pathname}${search}`;
  try {
    const forwarded = new Request(url, new Request(request, { redirect: "manual" }));
    setForwardedHeaders(forwarded.headers, new URL(request.url));
    const response = await fetch(forwarded);
    return response.webSocket ? response : new Response(response.body, response);
  } catch (error) {
    return new Failure("cloud-controller-unavailable", causeOf(error));
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
