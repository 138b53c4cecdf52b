import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { cfHeaders, newTraceId } from "./cf-headers.ts";

/** A body that is sent as it is read. */
export interface StreamedBody {
  stream: Readable;
  /** Bytes. */
  length: number;
}

interface RequestOptions {
  contentType?: string;
  body?: Buffer | StreamedBody;
}

/** The push ends here: with a status of 400 or more, or an answer that cf CLI can't read. */
export class PushFailed extends Error {
  override name = "PushFailed";
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}

/** Of a GET; a POST is never sent again. */
const RETRIES_MAX = 2;
const RETRIED_STATUSES = [500, 502, 503, 504];

/** The Cloud Controller as one run of cf CLI talks to it: with one token and one trace id, collecting its warnings. */
export class CfConnection {
  readonly traceId = newTraceId();
  readonly warnings: string[] = [];
  /** `X-Vcap-Request-Id` of each answer, by which logs name it. */
  readonly requestIds: string[] = [];
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
  }

  /**
   * @returns the body of the answer
   * @throws PushFailed, or the connection's own error
   */
  async send(method: "GET" | "POST", path: string, options: RequestOptions = {}): Promise<Buffer> {
    for (let retries = method === "GET" ? RETRIES_MAX : 0; ; retries--) {
      try {
        return await this.#sendOnce(method, path, options);
      } catch (error) {
        const { status } = error as PushFailed;
        if (retries === 0 || (status !== undefined && !RETRIED_STATUSES.includes(status))) throw error;
      }
    }
  }

  postJson(path: string, body: unknown): Promise<Buffer> {
    return this.send("POST", path, {
      contentType: "application/json",
      body: Buffer.from(JSON.stringify(body)),
    });
  }

  async #sendOnce(method: string, path: string, { contentType, body }: RequestOptions): Promise<Buffer> {
    const response = await exchange(new URL(this.#url + path), method, body, {
      Accept: "application/json",
      Authorization: `bearer ${this.#token}`,
      ...cfHeaders(this.traceId),
      ...(contentType ? { "Content-Type": contentType } : {}),
    });
    const answer = await buffer(response);
    this.requestIds.push(String(response.headers["x-vcap-request-id"]));
    // Before the status, so that a wrong escape fails a push that was answered well.
    this.warnings.push(...warningsOf(response));
    const status = response.statusCode ?? 0;
    if (status >= 400) {
      throw new PushFailed(`${method} ${path}: ${status} ${answer.toString().slice(0, 500)}`, status);
    }
    return answer;
  }
}

function exchange(
  url: URL,
  method: string,
  body: Buffer | StreamedBody | undefined,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const length = body && ("stream" in body ? body.length : body.byteLength);
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, {
      method,
      headers: { ...headers, ...(length === undefined ? {} : { "Content-Length": length }) },
      // A connection that the server is just closing would fail a request that is never sent twice.
      ...(url.protocol === "https:" ? {} : { agent: new Agent({ keepAlive: false }) }),
    });
    request.once("response", resolve);
    request.on("error", reject);
    if (body && "stream" in body) {
      // An answer may come before all is sent; then that is what counts.
      pipeline(body.stream, request).catch(() => {});
    } else request.end(body);
  });
}

/**
 * The warnings of an answer, split at commas and unescaped as Go's `url.QueryUnescape` does.
 *
 * @throws PushFailed for an escape that is none
 */
export function warningsOf({ headersDistinct }: Pick<IncomingMessage, "headersDistinct">): string[] {
  const values = headersDistinct["x-cf-warnings"] ?? [];
  return values.flatMap((value) =>
    value.split(",").map((warning) => queryUnescape(warning).replace(/^ +| +$/g, "")),
  );
}

function queryUnescape(text: string): string {
  const wrong = /%(?![0-9a-f]{2}).{0,2}/i.exec(text)?.[0];
  if (wrong !== undefined) throw new PushFailed(`invalid URL escape "${wrong}"`);
  const bytes = text
    .replaceAll("+", " ")
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}
