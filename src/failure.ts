import { causeOf, type Log } from "./observability/log.ts";
import { BODY_MAX_BYTES, RATE_LIMIT_PERIOD_SECONDS } from "./platform-limits.ts";

interface Wire {
  status: number;
  title: string;
  code: number;
  detail: string;
  headers?: Record<string, string>;
}

/** Every way a request can fail, and how Cloud Foundry says it. */
export const WIRE = {
  "parse-error": {
    status: 400,
    title: "CF-MessageParseError",
    code: 1001,
    detail: "Request invalid due to parse error: invalid request body",
  },
  "no-host": {
    status: 400,
    title: "CF-BadRequest",
    code: 1004,
    detail: "Bad request: the Host header names no host",
  },
  "length-required": {
    status: 411,
    title: "CF-BadRequest",
    code: 1004,
    detail: "Bad request: the body of a GET needs its Content-Length",
  },
  "not-authenticated": {
    status: 401,
    title: "CF-NotAuthenticated",
    code: 10002,
    detail: "Authentication error",
  },
  "invalid-token": { status: 401, title: "CF-InvalidAuthToken", code: 1000, detail: "Invalid Auth Token" },
  "not-authorized": {
    status: 403,
    title: "CF-NotAuthorized",
    code: 10003,
    detail: "You are not authorized to perform the requested action",
  },
  "app-bits-upload-disabled": {
    status: 403,
    title: "CF-FeatureDisabled",
    code: 330002,
    detail: "Feature Disabled: app_bits_upload",
  },
  "unknown-request": { status: 404, title: "CF-NotFound", code: 10000, detail: "Unknown request" },
  "body-too-large": {
    status: 413,
    title: "CF-BadRequest",
    code: 1004,
    detail: `Bad request: the body is larger than ${BODY_MAX_BYTES} bytes`,
  },
  /** The detail is the list of violations, the failure's reason. */
  unprocessable: { status: 422, title: "CF-UnprocessableEntity", code: 10008, detail: "" },
  "rate-limited": {
    status: 429,
    title: "CF-RateLimitExceeded",
    code: 10013,
    detail: "Rate Limit Exceeded",
    headers: { "Retry-After": String(RATE_LIMIT_PERIOD_SECONDS) },
  },
  /** A variable or binding is wrong. */
  misconfigured: { status: 500, title: "UnknownError", code: 10001, detail: "An unknown error occurred." },
  /** A bug. */
  unexpected: { status: 500, title: "UnknownError", code: 10001, detail: "An unknown error occurred." },
  "cloud-controller-unavailable": {
    status: 503,
    title: "CF-ServiceUnavailable",
    code: 10015,
    detail: "The Cloud Controller is currently unavailable",
  },
  "catalog-unavailable": {
    status: 503,
    title: "CF-ServiceUnavailable",
    code: 10015,
    detail: "The resource cache's catalog is currently unavailable",
  },
  "uaa-unavailable": {
    status: 503,
    title: "CF-ServiceUnavailable",
    code: 10015,
    detail: "The UAA service is currently unavailable",
  },
} satisfies Record<string, Wire>;

export type FailureKind = keyof typeof WIRE;

/**
 * A request that ends in an error. The reason is for the log; only `unprocessable` also sends it.
 */
export class Failure {
  readonly kind: FailureKind;
  readonly reason: string;
  /** For the log alone, a line each. */
  readonly details: readonly object[];

  constructor(kind: FailureKind, reason: string, ...details: object[]) {
    this.kind = kind;
    this.reason = reason;
    this.details = details;
  }

  /** What was thrown by something that nobody thought of. */
  static unexpected(error: unknown): Failure {
    const stack = error instanceof Error ? error.stack : undefined;
    return new Failure("unexpected", causeOf(error), { cause: causeOf(error), stack });
  }

  /** Logs each detail by a line that bears the kind's name. */
  logDetails(log: Log): void {
    for (const detail of this.details) log.error(this.kind, { ...detail });
  }

  /** Logs that a request was refused. */
  logRefusal(log: Log): void {
    this.logDetails(log);
    const { status, kind, reason } = this;
    log[status >= 500 ? "error" : "info"]("refused", { status, failure: kind, reason });
  }

  /** HTTP status, so that the log can tell the caller's mistakes from the operator's trouble. */
  get status(): number {
    return WIRE[this.kind].status;
  }

  /** Cloud Foundry's error envelope: `{"errors":[{"detail","title","code"}]}`. */
  toResponse(): Response {
    const { status, title, code, detail, headers }: Wire = WIRE[this.kind];
    const errors = [{ detail: this.kind === "unprocessable" ? this.reason : detail, title, code }];
    return jsonResponse(JSON.stringify({ errors }), status, headers);
  }
}

/** An answer with the Content-Type of the Cloud Controller. */
export function jsonResponse(
  json: string | Uint8Array<ArrayBuffer>,
  status: number,
  headers: Record<string, string> = {},
): Response {
  return new Response(json, {
    status,
    headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
  });
}
