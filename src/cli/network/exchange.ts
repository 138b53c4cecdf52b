import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { note } from "../terminal/output.ts";
import { agentFor } from "./agent.ts";
import {
  type Explanation,
  explainConnectionError,
  explainProxyLogin,
  explainTimeout,
  explainTls,
  isClosed,
  type Step,
} from "./connection-error.ts";
import { proxyFor } from "./proxy.ts";
import { usesTls } from "./uses-tls.ts";

/** Includes the look-up of the name, the proxy's connection and the TLS handshake. */
const CONNECT_MS = 10_000;
/** After this time without an answer, a note says what the command is waiting for: within ten seconds of its start. */
const NOTE_MS = 8_000;
/** For the beginning of the response. The Worker's own timeouts end after half of it. */
export const RESPONSE_MS = 30_000;
/** For each further chunk of the request or of the response. */
const CHUNK_MS = 30_000;
const CHUNK_BYTES = 64 * 1024;

export interface HttpRequest {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
  /** Time from the end of the request to the first chunk of the response; `RESPONSE_MS` by default. */
  responseMs?: number;
}

export interface HttpResponse {
  status: number;
  headers: Headers;
  body: string;
  /** The URL of the request, without its query, which may have a signature. */
  target: string;
}

export class NoResponse extends Error {
  override name = "NoResponse";
  /** Whether retries are of no use: the address is wrong, or the server can't be trusted. */
  readonly isPermanent: boolean;
  /** Whether the server was silent for too long. */
  readonly isTimeout: boolean;

  constructor(message: string, isPermanent: boolean, isTimeout = false) {
    super(message);
    this.isPermanent = isPermanent;
    this.isTimeout = isTimeout;
  }
}

/** URLs for which a note was printed: further requests have no other. */
const noted = new Set<string>();

/** Origins that have responded at least once: their addresses are right. */
const reached = new Set<string>();

/**
 * Sends an HTTP request once, through the proxy of the environment if there is one. Does not follow redirects. Prints a note on stderr
 * after eight seconds without an answer, once for a URL.
 *
 * @throws NoResponse
 */
export async function exchange(options: HttpRequest): Promise<HttpResponse> {
  const { url } = options;
  const target = nameOf(url);
  const proxy = proxyFor(url);
  const fail = ({ text, isPermanent }: Explanation, isTimeout = false) =>
    new NoResponse(`No response from ${target}: ${text}`, isPermanent && !reached.has(url.origin), isTimeout);
  let received: Received;
  try {
    received = await sendOnce(options);
  } catch (error) {
    const mayUseTls = url.protocol === "http:" && !proxy && !reached.has(url.origin) && isClosed(error);
    if (mayUseTls && (await usesTls(url))) throw fail(explainTls(url));
    throw error instanceof Timeout
      ? fail(explainTimeout(error.step, error.ms, url, proxy), true)
      : fail(explainConnectionError(error, url, proxy));
  }
  const { message, body } = received;
  const status = message.statusCode ?? 0;
  if (proxy && status === 407) throw fail(explainProxyLogin(proxy));
  reached.add(url.origin);
  const headers = new Headers();
  for (const [name, values = []] of Object.entries(message.headersDistinct)) {
    for (const value of values) headers.append(name, value);
  }
  return { status, headers, body, target };
}

class Timeout extends Error {
  readonly step: Step;
  readonly ms: number;

  constructor(step: Step, ms: number) {
    super(step);
    this.step = step;
    this.ms = ms;
  }
}

interface Received {
  message: IncomingMessage;
  body: string;
}

/** @throws Timeout, or an error of Node.js */
function sendOnce({
  url,
  method,
  headers,
  body = "",
  responseMs = RESPONSE_MS,
}: HttpRequest): Promise<Received> {
  const bytes = Buffer.from(body);
  const hasLength = bytes.length > 0 || method === "POST";
  const request = (url.protocol === "https:" ? requestHttps : requestHttp)(url, {
    method,
    headers: {
      ...headers,
      "Accept-Encoding": "identity",
      ...(hasLength && { "Content-Length": String(bytes.length) }),
    },
    agent: agentFor(url),
  });
  return new Promise<Received>((resolve, reject) => {
    let step: Step = "connect";
    let response: IncomingMessage | undefined;
    let isFinished = false;
    let timers: NodeJS.Timeout[] = [];
    const startTimers = (ms: number) => {
      timers.forEach(clearTimeout);
      if (isFinished) return;
      timers = [setTimeout(() => finish(() => reject(new Timeout(step, ms))), ms)];
      if (ms > NOTE_MS) timers.push(setTimeout(() => noteWaiting(url, ms), NOTE_MS));
    };
    const finish = (resolveOrReject: () => void) => {
      isFinished = true;
      timers.forEach(clearTimeout);
      resolveOrReject();
      // A server may respond before it has read the whole request.
      if (!request.writableFinished || !response?.complete) request.destroy();
    };
    let isConnected = false;
    const onConnect = () => {
      isConnected = true;
      if (request.writableFinished) onSent();
      else onChunkToSend();
    };
    const onChunkToSend = () => {
      if (!isConnected || response) return;
      step = "send";
      startTimers(CHUNK_MS);
    };
    const onSent = () => {
      if (!isConnected || response) return;
      step = "wait";
      startTimers(responseMs);
    };

    startTimers(CONNECT_MS);
    request.on("socket", (socket) => {
      const { connecting, secureConnecting } = socket as Socket & { secureConnecting?: boolean };
      if (!connecting && !secureConnecting) onConnect();
      else socket.once(secureConnecting ? "secureConnect" : "connect", onConnect);
      if (!secureConnecting) return;
      const onHandshake = () => {
        step = "handshake";
      };
      if (connecting) socket.once("connect", onHandshake);
      else onHandshake();
    });
    request.on("finish", onSent);
    request.on("error", (error) => {
      // After the beginning of a response, reading its end fails too.
      if (!response) finish(() => reject(error));
    });
    request.on("response", (message) => {
      // It may come before the request was read.
      if (step !== "wait") startTimers(responseMs);
      step = "receive";
      response = message;
      text(withChunks(message, () => startTimers(CHUNK_MS))).then(
        (body) => finish(() => resolve({ message, body })),
        (error) => finish(() => reject(error)),
      );
    });
    Readable.from(chunksOf(bytes, onChunkToSend)).pipe(request);
  });
}

function noteWaiting(url: URL, ms: number): void {
  const name = nameOf(url);
  if (noted.has(name)) return;
  noted.add(name);
  note(
    `Still waiting for a response from ${name} after ${NOTE_MS / 1000} s. The command waits for up to ${Math.round(ms / 1000)} s.`,
  );
}

/** The URL without its query, which may have a signature. */
function nameOf({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

/** @param onChunk is called before each chunk: then the server has read most of those before */
function* chunksOf(bytes: Buffer, onChunk: () => void): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    onChunk();
    yield bytes.subarray(start, start + CHUNK_BYTES);
  }
}

/** Yields the data of a response. @param onChunk is called after each `CHUNK_BYTES` */
async function* withChunks(message: IncomingMessage, onChunk: () => void): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const data of message) {
    bytes += data.length;
    if (bytes >= CHUNK_BYTES) {
      bytes = 0;
      onChunk();
    }
    yield data;
  }
}
