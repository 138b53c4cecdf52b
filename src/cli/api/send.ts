import { innermostCause, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import type { Endpoint } from "./endpoint.ts";

/** Longer than the platforms' own time-outs, which tell more. */
const TIMEOUT_MS = 180_000;

/** What is asked of an endpoint. */
export interface ApiRequest {
  method: "GET" | "POST" | "DELETE";
  /** Below the API's base. */
  path: string;
  /** JSON. */
  body?: Uint8Array<ArrayBuffer>;
  /** Besides those of any request. */
  headers?: Record<string, string>;
}

/** An answer, whatever its status. */
export interface ApiResponse {
  status: number;
  headers: Headers;
  body: string;
  /** The address that was asked. */
  target: string;
}

/** No answer came. */
export class NoResponse extends Error {
  override name = "NoAnswer";
  /** Whether nobody has ever answered there, and nobody will: an address that is wrong. */
  readonly isOfWrongAddress: boolean;

  constructor(message: string, isOfWrongAddress: boolean) {
    super(message);
    this.isOfWrongAddress = isOfWrongAddress;
  }
}

/** No host, nobody at the port, or one whose TLS is not as it must be: by Node's and OpenSSL's codes. */
const WRONG_ADDRESS =
  /^(ENOTFOUND|ECONNREFUSED|EPROTO|ERR_(SSL|TLS)_|CERT_|(DEPTH_ZERO_)?SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY))/;
/** What OpenSSL makes of an answer in plain HTTP. */
const NO_TLS = /wrong version number|packet length too long/;

/** Those that have answered, whatever it was. */
const answering = new WeakSet<Endpoint>();

/**
 * Asks once. Warnings that come with the answer are told on stderr.
 *
 * @throws NoAnswer
 */
export async function send(
  endpoint: Endpoint,
  { method, path, body, headers }: ApiRequest,
): Promise<ApiResponse> {
  const { url, token } = endpoint;
  const target = `${url}${path}`;
  let answer: ApiResponse;
  try {
    const response = await fetch(target, {
      method,
      headers: {
        Authorization: `bearer ${token}`,
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: body ?? null,
      // The token is for this host only.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    answering.add(endpoint);
    answer = { status: response.status, headers: response.headers, body: await response.text(), target };
  } catch (error) {
    const told = reasonOf(error);
    const reason = NO_TLS.test(told) ? `${new URL(url).host} does not speak TLS there: is it http://?` : told;
    const { code = "" } = innermostCause(error) as NodeJS.ErrnoException;
    const isOfWrongAddress = WRONG_ADDRESS.test(code) && !answering.has(endpoint);
    throw new NoResponse(`No answer from ${target}: ${reason}`, isOfWrongAddress);
  }
  for (const warning of warningsOf(answer.headers)) note(`Warning from the endpoint: ${warning}`);
  return answer;
}

/** The JSON of an answer; undefined where it is none. */
export function jsonOf({ body }: ApiResponse): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** What an answer that is not the expected one says, with advice. */
export function errorMessageOf(answer: ApiResponse): string {
  const { status, headers, target } = answer;
  const lines = [`${target} answered ${status}${detailOf(answer)}`];
  if (status === 401) {
    lines.push(
      'A token is valid for some minutes; `cf oauth-token` prints a new one: export CF_TOKEN="$(cf oauth-token)"',
    );
  }
  if (CACHE.test(target)) lines.push(...adviceOfCache(status));
  const location = headers.get("Location");
  if (location !== null) lines.push(`It points to ${location}: is --url the API's address?`);
  return lines.join("\n");
}

/** The operator's API, not the endpoint, which other scopes are enough for. */
const CACHE = /\/v3\/resource_matches\/cache\b/;

function adviceOfCache(status: number): string[] {
  switch (status) {
    case 403:
      return [
        "It takes a token with the scope cloud_controller.admin; for `list` and `status`, one with " +
          "cloud_controller.admin_read_only or cloud_controller.global_auditor is enough.",
      ];
    case 404:
      return ["There is no Worker: is --url the API's address, and does the Worker's route end with a star?"];
    default:
      return [];
  }
}

/** What Cloud Foundry's error envelope says, or the beginning of what came instead. */
function detailOf(answer: ApiResponse): string {
  const { errors } = (jsonOf(answer) ?? {}) as { errors?: unknown };
  const text = answer.body.trim().replaceAll(/\s+/g, " ");
  if (!Array.isArray(errors)) return text === "" ? "." : `: ${text.slice(0, 200)}`;
  return `: ${errors.map((error) => `${error?.detail} (${error?.title}, ${error?.code})`).join("; ")}`;
}

/** The header holds warnings that are percent-encoded, with commas between them. */
export function warningsOf(headers: Headers): string[] {
  const warnings = headers.get("X-Cf-Warnings");
  return warnings === null ? [] : warnings.split(",").map((warning) => decoded(warning.trim()));
}

function decoded(warning: string): string {
  try {
    return decodeURIComponent(warning.replaceAll("+", " "));
  } catch {
    return warning;
  }
}
