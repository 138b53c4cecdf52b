import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterTests } from "./command.ts";

/** The Cloud Controller's message for a size with a fraction, like `65537.0`. */
export const NON_INTEGER = "Resources array contains at least one resource with a non-integer size_in_bytes";

export interface RequestedResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  mode: string;
}

/** Starts a server on loopback, and returns its URL. */
export async function startServer(
  respond: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<string> {
  const server = createServer((request, response) => {
    Promise.resolve(respond(request, response)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTests(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/**
 * Starts a Cloud Controller's `POST /v3/resource_matches` that matches the resources for which `isPresent` returns true. Requests that
 * it refuses are not in `requests`.
 */
export async function startEndpoint(isPresent: (resource: RequestedResource) => boolean) {
  const requests: { authorization: string | undefined; path: string; resources: RequestedResource[] }[] = [];
  const url = await startServer(async (request, response) => {
    if (request.method !== "POST") return void response.writeHead(404).end();
    const body = await text(request);
    if (/"size_in_bytes":\d+\.\d/.test(body)) {
      const errors = [{ detail: NON_INTEGER, title: "CF-UnprocessableEntity", code: 10008 }];
      return void response.writeHead(422).end(JSON.stringify({ errors }));
    }
    const { resources } = JSON.parse(body) as { resources: RequestedResource[] };
    requests.push({
      authorization: request.headers.authorization,
      path: `${request.method} ${request.url}`,
      resources,
    });
    response.writeHead(201, { "Content-Type": "application/json; charset=utf-8" });
    response.end(JSON.stringify({ resources: resources.filter(isPresent) }));
  });
  return { url, requests };
}
