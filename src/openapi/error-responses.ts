import { WIRE } from "../failure.ts";

const headerRef = (name: string) => ({ $ref: `#/components/headers/${name}` });

/** The headers of every response of the Worker. */
export const COMMON_HEADERS = {
  "X-Vcap-Request-Id": headerRef("X-Vcap-Request-Id"),
  "X-B3-TraceId": headerRef("X-B3-TraceId"),
  "X-B3-SpanId": headerRef("X-B3-SpanId"),
};

/** When any operation fails, by the kind of the failure. */
const COMMON_CAUSES = {
  "no-host": "The Host header is not a host name.",
  "loop-detected": "CLOUD_CONTROLLER_URL leads back to the Worker.",
  "not-authenticated": "The request has no Authorization header, or one that is not Bearer.",
  "invalid-token": "The token is not valid.",
  "not-authorized": "The token has none of the required scopes.",
  "rate-limited": "The caller exceeded the rate limit.",
  misconfigured: "A variable or binding of the Worker is wrong. The log names it.",
  unexpected: "The Worker has a bug. The log has the cause.",
  "uaa-unavailable": "The Worker could not get UAA's keys, with which it verifies tokens.",
};

/** When some operations fail. */
const SPECIFIC_CAUSES = {
  "parse-error": "The body is not JSON, not UTF-8 or incomplete.",
  "app-bits-upload-disabled":
    "FEATURE_APP_BITS_UPLOAD is false, and the token lacks the scope cloud_controller.admin.",
  "body-too-large": "The body is larger than 15 MiB.",
  "non-canonical-body-too-large":
    "The JSON is not in the form that cf CLI sends, and has more than 4 MiB, or more than 100,000 commas and opening brackets.",
  unprocessable: "The request is not valid. The detail lists each distinct violation once.",
  "cloud-controller-unavailable": "In shadow mode: the Cloud Controller can't be reached.",
  "catalog-unavailable":
    "The catalog can't be reached or did not respond in time. The request may still have taken effect.",
};

const CAUSES = { ...COMMON_CAUSES, ...SPECIFIC_CAUSES };
type Kind = keyof typeof CAUSES;
const COMMON_KINDS = Object.keys(COMMON_CAUSES) as Kind[];

export interface OpenApiResponse {
  description: string;
  headers: object;
  content?: Record<string, object>;
}

type Responses = Record<string, OpenApiResponse>;

/** The error responses that every operation has, by status. */
export const COMMON_RESPONSES = describeFailures(COMMON_KINDS, "");

/** All error responses of an operation, by status. @param violations the detail of `unprocessable` */
export function allErrorResponses(
  kinds: readonly (keyof typeof SPECIFIC_CAUSES)[],
  violations = "",
): Responses {
  return describeFailures([...COMMON_KINDS, ...kinds], violations);
}

/** The same, with references to the responses that every operation has. */
export function errorResponses(
  kinds: readonly (keyof typeof SPECIFIC_CAUSES)[],
  violations?: string,
): Record<string, object> {
  const responses: Record<string, object> = allErrorResponses(kinds, violations);
  const specific = new Set(kinds.map((kind) => `${WIRE[kind].status}`));
  for (const status of Object.keys(COMMON_RESPONSES)) {
    if (!specific.has(status)) responses[status] = { $ref: `#/components/responses/${status}` };
  }
  return responses;
}

/** Proxies in front of the Cloud Controller may respond too, with bodies of their own. */
const ANY_CONTENT = { "*/*": {} };

/** Adds the responses that the Worker relays in shadow mode: other bodies and other statuses. */
export function withRelayedResponses(responses: Responses): Responses {
  const relayable: Responses = {
    default: { description: "In shadow mode: the Cloud Controller's response.", headers: COMMON_HEADERS },
    ...responses,
  };
  for (const response of Object.values(relayable)) response.content = { ...response.content, ...ANY_CONTENT };
  return relayable;
}

/** The responses of failures, with the Worker's own bodies as examples. */
function describeFailures(kinds: readonly Kind[], violations: string): Responses {
  const responses: Responses = {};
  for (const [status, ofStatus] of Map.groupBy(kinds, (kind) => WIRE[kind].status)) {
    const examples = ofStatus.map((kind) => {
      const { detail, title, code } = WIRE[kind];
      return [kind, { value: { errors: [{ detail: detail || violations, title, code }] } }];
    });
    const retryAfter = ofStatus.includes("rate-limited") && { "Retry-After": headerRef("Retry-After") };
    responses[status] = {
      description: ofStatus.map((kind) => CAUSES[kind]).join(" Or: "),
      headers: { ...COMMON_HEADERS, ...retryAfter },
      content: {
        "application/json": {
          schema: { $ref: "#/components/schemas/Errors" },
          examples: Object.fromEntries(examples),
        },
      },
    };
  }
  return responses;
}
