import * as v from "valibot";
import { Failure, type FailureKind } from "../failure.ts";

const headerRef = (name: string) => ({ [name]: { $ref: `#/components/headers/${name}` } });

/** The headers of every response that the Worker makes. */
export const COMMON_HEADERS = {
  ...headerRef("X-Vcap-Request-Id"),
  ...headerRef("X-B3-TraceId"),
  ...headerRef("X-B3-SpanId"),
};

/** Cloud Foundry's error envelope. */
export const ErrorsSchema = v.object({
  errors: v.pipe(
    v.array(
      v.object({
        detail: v.pipe(v.string(), v.description("What is wrong, for people.")),
        title: v.pipe(v.string(), v.description("What is wrong, for programs: `CF-InvalidAuthToken`.")),
        code: v.pipe(v.number(), v.integer(), v.description("Cloud Foundry's number for the title.")),
      }),
    ),
    v.minLength(1),
  ),
});

/** When a request fails so. */
const WHEN: Partial<Record<FailureKind, string>> = {
  "parse-error": "The body is no JSON, is not UTF-8 or breaks off.",
  "no-host": "The Host header names no host.",
  "not-authenticated": "There is no Authorization header, or one that is not Bearer.",
  "invalid-token": "The token does not verify, whatever the reason.",
  "not-authorized": "The token has none of the scopes.",
  "app-bits-upload-disabled":
    "FEATURE_APP_BITS_UPLOAD is false, and the caller has not the scope cloud_controller.admin.",
  "body-too-large": "The body is larger than 15 MiB.",
  unprocessable: "The request is not valid: every violation, each once, in the order met.",
  "rate-limited": "The caller has asked too often.",
  misconfigured: "A variable or binding of the Worker is wrong. The log tells which.",
  unexpected: "A bug. The log has the cause.",
  "uaa-unavailable": "No key that verifies tokens can be had of UAA.",
  "cloud-controller-unavailable": "In shadow mode the Cloud Controller can't be reached.",
  "catalog-unavailable": "The catalog does not answer. What it was told may have arrived all the same.",
};

/** The kinds whose response is always the same. */
type ListedKind = Exclude<FailureKind, "unprocessable" | "relayed">;

/** The failures of any operation that wants a token. */
const ALWAYS: readonly ListedKind[] = [
  "no-host",
  "not-authenticated",
  "invalid-token",
  "not-authorized",
  "rate-limited",
  "misconfigured",
  "unexpected",
  "uaa-unavailable",
];

/** The responses of failures, by status; those that every operation has, as they stand among the components. */
export async function failureResponses(kinds: readonly ListedKind[], ...invalid: Failure[]): Promise<object> {
  const failures = [...failuresOf([...ALWAYS, ...kinds]), ...invalid];
  const responses = await responsesByStatus(failures);
  const shared = await sharedResponses();
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => {
      const isShared = JSON.stringify(response) === JSON.stringify(shared[status]);
      return [status, isShared ? { $ref: `#/components/responses/${status}` } : response];
    }),
  );
}

/** The responses of failures that every operation has, by status. */
export function sharedResponses(): Promise<Record<string, object>> {
  return responsesByStatus(failuresOf(ALWAYS));
}

/** With the Worker's own bodies as examples. */
async function responsesByStatus(failures: readonly Failure[]): Promise<Record<string, object>> {
  const byStatus = Map.groupBy(failures, ({ status }) => status);
  const responses = [...byStatus].map(async ([status, ofStatus]) => [status, await responseOf(ofStatus)]);
  return Object.fromEntries(await Promise.all(responses));
}

/** @param failures of one status */
async function responseOf(failures: readonly Failure[]): Promise<object> {
  const examples = await Promise.all(failures.map(exampleOf));
  const retryAfter = failures.some((failure) => failure.toResponse().headers.has("Retry-After"));
  return {
    description: failures.map(({ kind }) => whenOf(kind)).join(" Or: "),
    headers: {
      ...COMMON_HEADERS,
      ...(retryAfter && { "Retry-After": { $ref: "#/components/headers/Retry-After" } }),
    },
    content: {
      "application/json": {
        schema: { $ref: "#/components/schemas/Errors" },
        examples: Object.fromEntries(examples),
      },
    },
  };
}

async function exampleOf(failure: Failure): Promise<[kind: string, example: { value: unknown }]> {
  return [failure.kind, { value: await failure.toResponse().json() }];
}

function whenOf(kind: FailureKind): string {
  const when = WHEN[kind];
  if (when === undefined) throw new Error(`Nothing says when a request fails as ${kind}.`);
  return when;
}

function failuresOf(kinds: readonly ListedKind[]): Failure[] {
  return kinds.map(exampleFailure);
}

/** A failure of this kind. Its reason does not matter, because a response does not have it. */
function exampleFailure(kind: ListedKind): Failure {
  if (kind === "unexpected") return Failure.unexpected(undefined);
  if (kind === "misconfigured") return new Failure({ kind, variables: [] });
  return new Failure({ kind, reason: "" });
}
