import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { freePort } from "../foundation/loopback.ts";

/** A fault of every request. A number is a status in HTML, as Cloudflare's own are. */
export type EdgeFault = "cut" | "hang" | number;

export interface EdgeRequest {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  /** SNI. */
  serverName: string;
}

/** Cloudflare in front of a Worker: ends TLS, and adds the client's address. */
export interface Edge {
  port: number;
  /** The requests that have arrived since the last `reset`. */
  requests: EdgeRequest[];
  /** Sets or removes a fault. */
  setFault(fault?: EdgeFault): void;
  /** Sets the Worker, removes the fault and forgets the requests. */
  reset(workerUrl: string): void;
  /** Closes all connections, and accepts no more until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const CLIENT_ADDRESS = "127.0.0.1";

/**
 * @param url of the Worker, `http://127.0.0.1:<port>`
 * @param pem key and certificate
 */
export async function startEdge(url: string, pem: Buffer): Promise<Edge> {
  const requests: EdgeRequest[] = [];
  let workerUrl = url;
  let fault: EdgeFault | undefined;

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const { method = "", url: path = "", headers, socket } = request;
    requests.push({ method, path, headers, serverName: String((socket as TLSSocket).servername) });
    if (fault === "cut") socket.destroy();
    else if (fault === "hang") request.resume();
    else if (fault !== undefined) {
      request.resume().on("end", () => response.writeHead(fault as number).end("<html>error code</html>"));
    } else forward(request, response, `${workerUrl}${path}`);
  }

  const port = await freePort();
  let server = createServer({ cert: pem, key: pem }, handle);
  const edge: Edge = {
    port,
    requests,
    setFault(value) {
      fault = value;
    },
    reset(url) {
      workerUrl = url;
      fault = undefined;
      requests.length = 0;
    },
    async stop() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
    async start() {
      if (server.listening) return;
      server = createServer({ cert: pem, key: pem }, handle);
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
  };
  await edge.start();
  return edge;
}

function forward(request: IncomingMessage, response: ServerResponse, url: string): void {
  const { method, headers } = request;
  const forwardedFor = [headers["x-forwarded-for"], CLIENT_ADDRESS].filter(Boolean).join(", ");
  const added = { "cf-connecting-ip": CLIENT_ADDRESS, "x-forwarded-for": forwardedFor };
  const forwarded = httpRequest(url, { method, headers: { ...headers, ...added } });
  forwarded.on("response", (reply) => {
    response.writeHead(reply.statusCode ?? 0, reply.headers);
    reply.pipe(response);
  });
  forwarded.on("error", () => response.destroy());
  response.on("close", () => forwarded.destroy());
  request.pipe(forwarded);
}
