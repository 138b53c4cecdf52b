import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { whenAllIsOver } from "./command.ts";

export interface AskedResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  mode: string;
}

/** A server on loopback. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<string> {
  const server = createServer((request, response) => {
    Promise.resolve(answer(request, response)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  whenAllIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An endpoint that holds the files for which `isHeld` says so. */
export async function endpointThatHolds(isPresent: (resource: AskedResource) => boolean) {
  const requests: { authorization: string | undefined; path: string; resources: AskedResource[] }[] = [];
  const url = await serve(async (request, response) => {
    if (request.method !== "POST") return void response.writeHead(404).end();
    const { resources } = (await json(request)) as { resources: AskedResource[] };
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
