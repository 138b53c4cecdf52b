import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";

/** Sends `body` as JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const json = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": json.length,
    ...headers,
  });
  response.end(json);
}

export function readBody(request: IncomingMessage): Promise<Buffer> {
  return buffer(request);
}

/** Returns the URL of a request. Only its path and query are meaningful. */
export function parseUrl(request: IncomingMessage): URL {
  return new URL(request.url ?? "/", "http://localhost");
}
