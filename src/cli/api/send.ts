import { exchange, type HttpResponse, NoResponse } from "../network/exchange.ts";
import { note } from "../terminal/output.ts";
import type { Endpoint } from "./endpoint.ts";

export { NoResponse };

export interface ApiRequest {
  method: "GET" | "POST" | "DELETE";
  /** Below the API's base URL. */
  path: string;
  /** JSON. */
  body?: string;
  /** Sent in addition to the token and the content type. */
  headers?: Record<string, string>;
  /** Time for the response, if its work may take longer than usual. */
  responseMs?: number;
}

export interface ApiResponse extends HttpResponse {
  /** The token of the request. */
  token?: string;
}

/**
 * Sends a request once. Prints the warnings of the response on stderr.
 *
 * @throws NoResponse
 */
export async function send(
  endpoint: Endpoint,
  { path, headers, ...request }: ApiRequest,
): Promise<ApiResponse> {
  const url = new URL(`${endpoint.url}${path}`);
  const { silentHosts } = endpoint;
  if (silentHosts?.has(url.host)) {
    throw new NoResponse(
      `No response from ${url.origin}${url.pathname}: ${url.host} did not respond to an earlier request in time, so this one was not ` +
        `sent. The first line about ${url.host} has the reason.`,
      true,
    );
  }
  const response = await exchange({
    ...request,
    url,
    headers: {
      ...endpoint.headers,
      ...headers,
      Authorization: `bearer ${endpoint.token}`,
      ...(request.body && { "Content-Type": "application/json" }),
    },
  }).catch((error) => {
    if (error instanceof NoResponse && error.isTimeout) silentHosts?.add(url.host);
    throw error;
  });
  for (const warning of warningsOf(response.headers)) note(`Warning from ${response.target}: ${warning}`);
  return { ...response, token: endpoint.token };
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
