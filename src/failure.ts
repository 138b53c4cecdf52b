import { jsonResponse } from "./http/json-response.ts";
import { causeOf, type Log } from "./observability/log.ts";
import {
  BODY_MAX_BYTES,
  NON_CANONICAL_MAX_BYTES,
  NON_CANONICAL_MAX_TOKENS,
  RATE_LIMIT_PERIOD_SECONDS,
} from "./platform-limits.ts";

const wire = (status: number, title: string, code: number, detail: string) => ({
  status,
  title,
  code,
  detail,
});
const badRequest = (status: number, detail: string) =>
  wire(status, "CF-BadRequest", 1004, `Bad request: ${detail}`);
const unavailable = (service: string) =>
  wire(503, "CF-ServiceUnavailable", 10015, `${service} is currently unavailable`);
const UNKNOWN_ERROR = wire(500, "UnknownError", 10001, "An unknown error occurred.");

const PARSE_ERROR_DETAIL = "Request invalid due to parse error: invalid request body";
const NOT_AUTHORIZED_DETAIL = "You are not authorized to perform the requested action";
const PUSH_AGAIN_DETAIL = "An unknown error occurred in the middle of the push. Push again.";
const NON_CANONICAL_DETAIL =
  "the body is too large for JSON that is not in canonical form, which is limited to " +
  `${NON_CANONICAL_MAX_BYTES} bytes and ${NON_CANONICAL_MAX_TOKENS} commas and opening brackets`;

/** Status and error of the response, by the kind of the failure: Cloud Foundry's own, if it has one. */
export const WIRE = {
  "parse-error": wire(400, "CF-MessageParseError", 1001, PARSE_ERROR_DETAIL),
  "no-host": badRequest(400, "the Host header names no host"),
  "length-required": badRequest(411, "the body of a GET needs its Content-Length"),
  "body-too-large": badRequest(413, `the body is larger than ${BODY_MAX_BYTES} bytes`),
  "non-canonical-body-too-large": badRequest(413, NON_CANONICAL_DETAIL),
  "not-authenticated": wire(401, "CF-NotAuthenticated", 10002, "Authentication error"),
  "invalid-token": wire(401, "CF-InvalidAuthToken", 1000, "Invalid Auth Token"),
  /** The Worker can't verify the token; the Cloud Controller may. */
  "unverifiable-token": wire(401, "CF-InvalidAuthToken", 1000, "Invalid Auth Token"),
  "not-authorized": wire(403, "CF-NotAuthorized", 10003, NOT_AUTHORIZED_DETAIL),
  "app-bits-upload-disabled": wire(403, "CF-FeatureDisabled", 330002, "Feature Disabled: app_bits_upload"),
  "unknown-request": wire(404, "CF-NotFound", 10000, "Unknown request"),
  /** The detail is the list of violations. */
  unprocessable: wire(422, "CF-UnprocessableEntity", 10008, ""),
  "rate-limited": wire(429, "CF-RateLimitExceeded", 10013, "Rate Limit Exceeded"),
  /** A variable or binding is wrong. */
  misconfigured: UNKNOWN_ERROR,
  /** A bug. */
  unexpected: UNKNOWN_ERROR,
  "cloud-controller-unavailable": unavailable("The Cloud Controller"),
  "loop-detected": badRequest(508, "CLOUD_CONTROLLER_URL leads back to the Worker"),
  /** The Worker has decided a part of the push, so that the Cloud Controller must not respond (R3). */
  "push-again": wire(409, "UnknownError", 10001, PUSH_AGAIN_DETAIL),
  "catalog-unavailable": unavailable("The resource cache's catalog"),
  "uaa-unavailable": unavailable("The UAA service"),
};

/** A variable or binding that the Worker can't work with. The value has no secrets. */
export interface WrongVariable {
  variable: string;
  value: unknown;
  expected: string;
}

type KindWithReason = Exclude<keyof typeof WIRE, "unprocessable" | "misconfigured" | "unexpected">;

/** The kind of a failure, and what the log or the response needs of it. A reason is only logged. */
export type FailureDetails =
  | { kind: KindWithReason; reason: string }
  | { kind: "unprocessable"; violations: readonly string[] }
  | { kind: "misconfigured"; variables: readonly WrongVariable[] }
  | { kind: "unexpected"; cause: string; stack: string | undefined }
  /** The Cloud Controller refused the whole request: its response is the Worker's. */
  | { kind: "relayed"; response: Response }
  /** The Worker failed, for this reason: the response of the Cloud Controller is the Worker's. */
  | { kind: "failed-open"; reason: string; response: Response };

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

  /** The response of the Cloud Controller, if that is the Worker's. */
  get relayed(): Response | undefined {
    return "response" in this.details ? this.details.response : undefined;
  }

  get status(): number {
    const { details } = this;
    return "response" in details ? details.response.status : WIRE[details.kind].status;
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
    for (const variable of this.wrongVariables) log.error("misconfigured", variable);
    if (this.details.kind !== "unexpected") return;
    const { cause, stack } = this.details;
    log.error("unexpected", { cause, stack });
  }

  /** Logs that the request was refused. The metrics of a request log `relayed` and `failed-open`, with the time that it took. */
  logRefusal(log: Log): void {
    if (this.relayed) return;
    this.logDetails(log);
    const { status, kind, reason } = this;
    const isOwn = status >= 500 || kind === "push-again";
    log[isOwn ? "error" : "info"]("refused", { status, failure: kind, reason });
  }

  /** The response, with Cloud Foundry's error envelope: `{"errors":[{"detail","title","code"}]}`. */
  toResponse(): Response {
    const { details } = this;
    if ("response" in details) return details.response;
    const { status, title, code, detail } = WIRE[details.kind];
    const errors = [{ detail: details.kind === "unprocessable" ? this.reason : detail, title, code }];
    const response = jsonResponse(JSON.stringify({ errors }), status);
    if (details.kind === "rate-limited") {
      response.headers.set("Retry-After", String(RATE_LIMIT_PERIOD_SECONDS));
    }
    return response;
  }
}
