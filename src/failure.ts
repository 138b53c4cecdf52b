import { jsonResponse } from "./http/json-response.ts";
import { causeOf, type Log } from "./observability/log.ts";
import {
  BODY_MAX_BYTES,
  NON_CANONICAL_MAX_BYTES,
  NON_CANONICAL_MAX_TOKENS,
  RATE_LIMIT_PERIOD_SECONDS,
} from "./platform-limits.ts";

interface Wire {
  status: number;
  title: string;
  code: number;
  detail: string;
  headers?: Record<string, string>;
}

const BAD_REQUEST = { status: 400, title: "CF-BadRequest", code: 1004 };
const UNAVAILABLE = { status: 503, title: "CF-ServiceUnavailable", code: 10015 };
const UNKNOWN_ERROR = {
  status: 500,
  title: "UnknownError",
  code: 10001,
  detail: "An unknown error occurred.",
};

/** Status and error of the response, by the kind of the failure: Cloud Foundry's own, if it has one. */
export const WIRE = {
  "parse-error": {
    status: 400,
    title: "CF-MessageParseError",
    code: 1001,
    detail: "Request invalid due to parse error: invalid request body",
  },
  "no-host": { ...BAD_REQUEST, detail: "Bad request: the Host header names no host" },
  "length-required": {
    ...BAD_REQUEST,
    status: 411,
    detail: "Bad request: the body of a GET needs its Content-Length",
  },
  "body-too-large": {
    ...BAD_REQUEST,
    status: 413,
    detail: `Bad request: the body is larger than ${BODY_MAX_BYTES} bytes`,
  },
  "non-canonical-body-too-large": {
    ...BAD_REQUEST,
    status: 413,
    detail:
      "Bad request: the body is too large for JSON that is not in canonical form, which is limited to " +
      `${NON_CANONICAL_MAX_BYTES} bytes and ${NON_CANONICAL_MAX_TOKENS} commas and opening brackets`,
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
  /** The detail is the list of violations. */
  unprocessable: { status: 422, title: "CF-UnprocessableEntity", code: 10008, detail: "" },
  "rate-limited": {
    status: 429,
    title: "CF-RateLimitExceeded",
    code: 10013,
    detail: "Rate Limit Exceeded",
    headers: { "Retry-After": String(RATE_LIMIT_PERIOD_SECONDS) },
  },
  /** A variable or binding is wrong. */
  misconfigured: UNKNOWN_ERROR,
  /** A bug. */
  unexpected: UNKNOWN_ERROR,
  "cloud-controller-unavailable": {
    ...UNAVAILABLE,
    detail: "The Cloud Controller is currently unavailable",
  },
  "catalog-unavailable": {
    ...UNAVAILABLE,
    detail: "The resource cache's catalog is currently unavailable",
  },
  "uaa-unavailable": { ...UNAVAILABLE, detail: "The UAA service is currently unavailable" },
} satisfies Record<string, Wire>;

/** A variable or binding that the Worker can't work with. The value has no secrets. */
export interface WrongVariable {
  variable: string;
  value: unknown;
  expected: string;
}

type OwnKind = keyof typeof WIRE;
type KindWithReason = Exclude<OwnKind, "unprocessable" | "misconfigured" | "unexpected">;

/** The kind of a failure, and what the log or the response needs of it. A reason is only logged. */
export type FailureDetails =
  | { kind: KindWithReason; reason: string }
  | { kind: "unprocessable"; violations: readonly string[] }
  | { kind: "misconfigured"; variables: readonly WrongVariable[] }
  | { kind: "unexpected"; cause: string; stack: string | undefined }
  /** The Cloud Controller refused the whole request: its response is the Worker's. */
  | { kind: "relayed"; response: Response };

export type FailureKind = FailureDetails["kind"];

/** The result of a request that ends in an error. Functions return it; only bugs are thrown. */
export class Failure {
  readonly details: FailureDetails;

  constructor(details: FailureDetails) {
    this.details = details;
  }

  /** The failure of a request in which a bug threw `error`. */
  static unexpected(error: unknown): Failure {
    const stack = error instanceof Error ? error.stack : undefined;
    return new Failure({ kind: "unexpected", cause: causeOf(error), stack });
  }

  get kind(): FailureKind {
    return this.details.kind;
  }

  /** The response of the Cloud Controller, if that refused the request. */
  get relayed(): Response | undefined {
    return this.details.kind === "relayed" ? this.details.response : undefined;
  }

  /** The HTTP status of the response. */
  get status(): number {
    const { details } = this;
    return details.kind === "relayed" ? details.response.status : WIRE[details.kind].status;
  }

  get reason(): string {
    const { details } = this;
    switch (details.kind) {
      case "unprocessable":
        return details.violations.join(", ");
      case "misconfigured":
        return `wrong: ${details.variables.map(({ variable }) => variable).join(", ")}`;
      case "unexpected":
        return details.cause;
      case "relayed":
        return `the Cloud Controller responded with ${details.response.status}`;
      default:
        return details.reason;
    }
  }

  get wrongVariables(): readonly WrongVariable[] {
    return this.details.kind === "misconfigured" ? this.details.variables : [];
  }

  /** Logs a line for each wrong variable, or the stack of a bug. */
  logDetails(log: Log): void {
    for (const variable of this.wrongVariables) log.error("misconfigured", { ...variable });
    if (this.details.kind !== "unexpected") return;
    const { cause, stack } = this.details;
    log.error("unexpected", { cause, stack });
  }

  /** Logs that the request was refused. The metrics of a request log `relayed`, with the time that it took. */
  logRefusal(log: Log): void {
    if (this.kind === "relayed") return;
    this.logDetails(log);
    const { status, kind, reason } = this;
    log[status >= 500 ? "error" : "info"]("refused", { status, failure: kind, reason });
  }

  /** The response, with Cloud Foundry's error envelope: `{"errors":[{"detail","title","code"}]}`. */
  toResponse(): Response {
    const { details } = this;
    if (details.kind === "relayed") return details.response;
    const { status, title, code, detail, headers }: Wire = WIRE[details.kind];
    const errors = [{ detail: details.kind === "unprocessable" ? this.reason : detail, title, code }];
    return jsonResponse(JSON.stringify({ errors }), status, headers);
  }
}
