import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { cfHeaders, newTraceId } from "./cf-headers.ts";

/** A body that is streamed. */
export interface StreamedBody {
  stream: Readable;
  /** In bytes. */
  length: number;
}

interface RequestOptions {
  contentType?: string;
  body?: Buffer | StreamedBody;
}

/** The push failed: a status of 400 or more, or a response that cf CLI can't parse. */
export class PushFailed extends Error {
  override name = "PushFailed";
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}

export const MATCHES_PATH = "/v3/resource_matches";

/** Retries of a GET. A POST is never retried. */
const RETRIES_MAX = 2;
const RETRIED_STATUSES = [500, 502, 503, 504];

/** The requests of one run of cf CLI. They have one token and one trace id. */
export class CfConnection {
  readonly traceId = newTraceId();
  readonly warnings: string[] = [];
  /** `X-Vcap-Request-Id` of each response. Logs name requests by it. */
  readonly requestIds: string[] = [];
  readonly #url: string;
  readonly #matchesUrl: string;
  readonly #token: string;

  /** @param matchesUrl URL that gets the requests for matches; default: `url` */
  constructor(url: string, token: string, matchesUrl = url) {
    this.#url = url.replace(/\/+$/, "");
    this.#matchesUrl = matchesUrl.replace(/\/+$/, "");
    this.#token = token;
  }

  /**
   * Sends a request, and retries a GET as cf CLI does.
   *
   * @returns the body of the response
   * @throws PushFailed, or the error of the connection
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
    const url = path === MATCHES_PATH ? this.#matchesUrl : this.#url;
    const response = await exchange(new URL(url + path), method, body, {
      Accept: "application/json",
      Authorization: `bearer ${this.#token}`,
      ...cfHeaders(this.traceId),
      ...(contentType ? { "Content-Type": contentType } : {}),
    });
    const responseBody = await buffer(response);
    this.requestIds.push(String(response.headers["x-vcap-request-id"]));
    // Before the status is checked: like in cf CLI, a malformed escape fails the push even if the status is 201.
    this.warnings.push(...parseWarnings(response));
    const status = response.statusCode ?? 0;
    if (status >= 400) {
      throw new PushFailed(`${method} ${path}: ${status} ${responseBody.toString().slice(0, 500)}`, status);
    }
    return responseBody;
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
      // A new connection for each request: a POST is not retried if the server closes an idle connection.
      ...(url.protocol === "https:" ? {} : { agent: new Agent({ keepAlive: false }) }),
    });
    request.once("response", resolve);
    request.on("error", reject);
    if (body && "stream" in body) {
      // The response may come before the whole body is sent. Then an error of the body does not matter.
      pipeline(body.stream, request).catch(() => {});
    } else request.end(body);
  });
}

/**
 * Parses the warnings of a response. Splits them at commas, and unescapes them like Go's `url.QueryUnescape`.
 *
 * @throws PushFailed for a malformed escape
 */
export function parseWarnings({ headersDistinct }: Pick<IncomingMessage, "headersDistinct">): string[] {
  const values = headersDistinct["x-cf-warnings"] ?? [];
  return values.flatMap((value) =>
    value.split(",").map((warning) => unescapeQuery(warning).replace(/^ +| +$/g, "")),
  );
}

function unescapeQuery(text: string): string {
  const malformed = /%(?![0-9a-f]{2}).{0,2}/i.exec(text)?.[0];
  if (malformed !== undefined) throw new PushFailed(`invalid URL escape "${malformed}"`);
  const bytes = text
    .replaceAll("+", " ")
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}
