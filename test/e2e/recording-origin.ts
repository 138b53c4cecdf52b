import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** A server in place of the Cloud Controller, which responds with what it received. */
export interface RecordingOrigin {
  url: string;
  close(): Promise<void>;
}

/** The JSON body of its responses: the request that it received. */
export interface RecordedRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: Record<string, string>;
  /** Bytes in the body. */
  length: number;
  /** Of the body, in hex. */
  sha1: string;
}

const WEB_SOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT_FRAME = 0x81;
const MASKED_HEAD_BYTES = 6;

/**
 * Responds to `/redirect` with a redirect, and to any other path with a `RecordedRequest`. A WebSocket gets each text message back,
 * prefixed with the path that it was opened with.
 */
export async function startRecordingOrigin(): Promise<RecordingOrigin> {
  const server = createServer(respond);
  server.on("upgrade", echoFrames);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = "", url = "", headers } = request;
  const hash = createHash("sha1");
  let length = 0;
  for await (const chunk of request) {
    hash.update(chunk);
    length += chunk.length;
  }
  if (url === "/redirect") {
    response.writeHead(302, { Location: "/elsewhere" }).end();
    return;
  }
  const recorded = { method, url, headers, length, sha1: hash.digest("hex") };
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(recorded));
}

/** The parts of RFC 6455 that short text messages need. */
function echoFrames({ headers, url }: IncomingMessage, socket: Duplex): void {
  const accept = createHash("sha1")
    .update(`${headers["sec-websocket-key"]}${WEB_SOCKET_GUID}`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on("error", () => {});
  socket.on("data", (frame: Buffer) => {
    if (frame[0] !== TEXT_FRAME) {
      socket.end();
      return;
    }
    const [mask, masked] = [frame.subarray(2, MASKED_HEAD_BYTES), frame.subarray(MASKED_HEAD_BYTES)];
    const text = masked.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    const reply = Buffer.concat([Buffer.from(`${url} `), text]);
    socket.write(Buffer.concat([Buffer.from([TEXT_FRAME, reply.length]), reply]));
  });
}
