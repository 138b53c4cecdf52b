import { innermostCause, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import type { Endpoint } from "./endpoint.ts";

/** Longer than the timeouts of the platforms, whose error messages say more. */
const TIMEOUT_MS = 180_000;

export interface ApiRequest {
  method: "GET" | "POST" | "DELETE";
  /** Below the API's base URL. */
  path: string;
  /** JSON. */
  body?: string;
  /** Sent in addition to the token and the content type. */
  headers?: Record<string, string>;
}

export interface ApiResponse {
  status: number;
  headers: Headers;
  body: string;
  /** The URL of the request. */
  target: string;
  /** The token of the request. */
  token?: string;
}

export class NoResponse extends Error {
  override name = "NoResponse";
  /** Whether the address is probably wrong, so that retries are of no use. */
  readonly isWrongAddress: boolean;

  constructor(message: string, isWrongAddress: boolean) {
    super(message);
    this.isWrongAddress = isWrongAddress;
  }
}

/** Codes of Node.js and OpenSSL: no such host, connection refused, or a TLS handshake that failed. */
const WRONG_ADDRESS =
  /^(ENOTFOUND|ECONNREFUSED|EPROTO|ERR_(SSL|TLS)_|CERT_|(DEPTH_ZERO_)?SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY))/;
/** OpenSSL's errors when the server speaks plain HTTP. */
const NO_TLS = /wrong version number|packet length too long/;

/** Endpoints that have responded at least once: their addresses are right. */
const reached = new WeakSet<Endpoint>();

/**
 * Sends a request once. Prints the warnings of the response on stderr.
 *
 * @throws NoResponse
 */
export async function send(
  endpoint: Endpoint,
  { method, path, body, headers: extraHeaders }: ApiRequest,
): Promise<ApiResponse> {
  const target = `${endpoint.url}${path}`;
  const headers = new Headers({ ...endpoint.headers, ...extraHeaders });
  headers.set("Authorization", `bearer ${endpoint.token}`);
  if (body) headers.set("Content-Type", "application/json");
  let received: ApiResponse;
  try {
    const response = await fetch(target, {
      method,
      headers,
      body: body ?? null,
      // A redirect would send the token to another host.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    reached.add(endpoint);
    const text = await response.text();
    received = {
      status: response.status,
      headers: response.headers,
      body: text,
      target,
      token: endpoint.token,
    };
  } catch (error) {
    let reason = reasonOf(error);
    if (NO_TLS.test(reason)) {
      reason = `${new URL(target).host} does not use TLS. Does the URL begin with http://?`;
    }
    const { code = "" } = innermostCause(error) as NodeJS.ErrnoException;
    const isWrongAddress = WRONG_ADDRESS.test(code) && !reached.has(endpoint);
    throw new NoResponse(`No response from ${target}: ${reason}`, isWrongAddress);
  }
  for (const warning of warningsOf(received.headers)) note(`Warning from ${target}: ${warning}`);
  return received;
}

/** The JSON of a response; undefined if the body is not JSON. */
export function jsonOf({ body }: ApiResponse): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Whether the body is Cloud Foundry's error envelope. Proxies and firewalls respond with HTML. */
export function hasErrorEnvelope(response: ApiResponse): boolean {
  const { errors } = (jsonOf(response) ?? {}) as { errors?: { title?: unknown }[] };
  return Array.isArray(errors) && typeof errors[0]?.title === "string";
}

/** Whether the status shows that a server is unavailable. It does not show which server it is. */
export function isOutage({ status }: ApiResponse): boolean {
  return status === 429 || status >= 500;
}

/** Decodes `X-Cf-Warnings`: percent-encoded warnings, separated by commas. */
export function warningsOf(headers: Headers): string[] {
  const warnings = headers.get("X-Cf-Warnings");
  return warnings === null ? [] : warnings.split(",").map((warning) => decodeWarning(warning.trim()));
}

function decodeWarning(warning: string): string {
  try {
    return decodeURIComponent(warning.replaceAll("+", " "));
  } catch {
    return warning;
  }
}
