import * as v from "valibot";
import { Failure, type FailureKind } from "../failure.ts";

const headerRef = (name: string) => ({ $ref: `#/components/headers/${name}` });

/** The headers of every response of the Worker. */
export const COMMON_HEADERS = {
  "X-Vcap-Request-Id": headerRef("X-Vcap-Request-Id"),
  "X-B3-TraceId": headerRef("X-B3-TraceId"),
  "X-B3-SpanId": headerRef("X-B3-SpanId"),
};

/** Cloud Foundry's error envelope. */
export const ErrorsSchema = v.object({
  errors: v.pipe(
    v.array(
      v.object({
        detail: v.pipe(v.string(), v.description("The error message for people.")),
        title: v.pipe(v.string(), v.description("The error's name for programs: `CF-InvalidAuthToken`.")),
        code: v.pipe(v.number(), v.integer(), v.description("Cloud Foundry's number of the title.")),
      }),
    ),
    v.minLength(1),
  ),
});

/** The kinds whose response is always the same. */
type ListedKind = Exclude<FailureKind, "unprocessable" | "relayed">;

/** When a request fails with this kind. */
const CAUSES: Partial<Record<FailureKind, string>> = {
  "parse-error": "The body is not JSON, not UTF-8 or incomplete.",
  "no-host": "The Host header is not a host name.",
  "not-authenticated": "The request has no Authorization header, or one that is not Bearer.",
  "invalid-token": "The token is not valid.",
  "not-authorized": "The token has none of the required scopes.",
  "app-bits-upload-disabled":
    "FEATURE_APP_BITS_UPLOAD is false, and the token lacks the scope cloud_controller.admin.",
  "body-too-large": "The body is larger than 15 MiB.",
  "non-canonical-body-too-large":
    "The JSON is not in the form that cf CLI sends, and has more than 4 MiB, or more than 100,000 commas and opening brackets.",
  unprocessable: "The request is not valid. The detail lists each distinct violation once.",
  "rate-limited": "The caller exceeded the rate limit.",
  misconfigured: "A variable or binding of the Worker is wrong. The log names it.",
  unexpected: "The Worker has a bug. The log has the cause.",
  "uaa-unavailable": "The Worker could not get UAA's keys, with which it verifies tokens.",
  "cloud-controller-unavailable": "In shadow mode: the Cloud Controller can't be reached.",
  "catalog-unavailable":
    "The catalog can't be reached or did not respond in time. The request may still have taken effect.",
};

/** The failures that are possible in every operation. */
const COMMON_KINDS: readonly ListedKind[] = [
  "no-host",
  "not-authenticated",
  "invalid-token",
  "not-authorized",
  "rate-limited",
  "misconfigured",
  "unexpected",
  "uaa-unavailable",
];

/** The error responses of an operation, by status: a reference to the components if every operation has the same one. */
export async function errorResponses(
  kinds: readonly ListedKind[],
  ...invalid: Failure[]
): Promise<Record<string, OpenApiResponse>> {
  const responses = await responsesByStatus([...exampleFailures([...COMMON_KINDS, ...kinds]), ...invalid]);
  const common = await commonErrorResponses();
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => {
      const isCommon = JSON.stringify(response) === JSON.stringify(common[status]);
      return [status, isCommon ? { $ref: `#/components/responses/${status}` } : response];
    }),
  );
}

/** The error responses that every operation has, by status. */
export function commonErrorResponses(): Promise<Record<string, OpenApiResponse>> {
  return responsesByStatus(exampleFailures(COMMON_KINDS));
}

export interface OpenApiResponse {
  $ref?: string;
  description?: string;
  headers?: object;
  content?: Record<string, object>;
}

/** Proxies in front of the Cloud Controller may respond too, with bodies of their own. */
const ANY_CONTENT = { "*/*": {} };

/**
 * The responses of an operation that in shadow mode relays the Cloud Controller's response: other bodies and other statuses are
 * possible.
 */
export async function withRelayedResponses(
  responses: Record<string, OpenApiResponse>,
): Promise<Record<string, OpenApiResponse>> {
  const common = await commonErrorResponses();
  const relayable: Record<string, OpenApiResponse> = {};
  for (const [status, response] of Object.entries(responses)) {
    const resolved = response.$ref ? common[status] : response;
    relayable[status] = { ...resolved, content: { ...resolved?.content, ...ANY_CONTENT } };
  }
  relayable.default = {
    description: "In shadow mode: the Cloud Controller's response.",
    headers: COMMON_HEADERS,
    content: ANY_CONTENT,
  };
  return relayable;
}

async function responsesByStatus(failures: readonly Failure[]): Promise<Record<string, OpenApiResponse>> {
  const byStatus = Map.groupBy(failures, ({ status }) => status);
  const responses = [...byStatus].map(async ([status, ofStatus]) => [
    status,
    await describeFailures(ofStatus),
  ]);
  return Object.fromEntries(await Promise.all(responses));
}

/** The response of failures that have one status, with the Worker's own bodies as examples. */
async function describeFailures(failures: readonly Failure[]): Promise<OpenApiResponse> {
  const examples: Record<string, { value: unknown }> = {};
  for (const failure of failures) examples[failure.kind] = { value: await failure.toResponse().json() };
  const hasRetryAfter = failures.some((failure) => failure.toResponse().headers.has("Retry-After"));
  return {
    description: failures.map(({ kind }) => describeCause(kind)).join(" Or: "),
    headers: hasRetryAfter ? { ...COMMON_HEADERS, "Retry-After": headerRef("Retry-After") } : COMMON_HEADERS,
    content: { "application/json": { schema: { $ref: "#/components/schemas/Errors" }, examples } },
  };
}

function describeCause(kind: FailureKind): string {
  const cause = CAUSES[kind];
  if (cause === undefined) throw new Error(`The failure ${kind} has no description.`);
  return cause;
}

function exampleFailures(kinds: readonly ListedKind[]): Failure[] {
  return kinds.map(exampleFailure);
}

/** A failure of this kind. The reason is empty, because the response does not have it. */
function exampleFailure(kind: ListedKind): Failure {
  if (kind === "unexpected") return Failure.unexpected(undefined);
  if (kind === "misconfigured") return new Failure({ kind, variables: [] });
  return new Failure({ kind, reason: "" });
}
