import { randomBytes } from "node:crypto";
import { formatCount, formatNumber } from "../../format.ts";
import type { CachedResource, CacheStatus } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { checksumsOf } from "../api/matches.ts";
import { type ApiResponse, send, warningsOf } from "../api/send.ts";
import {
  errorSentences,
  type Finding,
  fail,
  isOutage,
  isRefusal,
  ok,
  outageAdvice,
  warn,
} from "./finding.ts";

/** What is known before the endpoint is asked. */
export interface Known {
  status: CacheStatus;
  /** Some of what the catalog holds, of sizes that may match. */
  sample: readonly CachedResource[];
}

/**
 * Asks the endpoint as a push does: for a few files that the catalog holds, and for one that nobody has. Of that the size
 * is written as a decimal fraction, which the Worker takes for what it is worth and a Cloud Controller refuses: so the
 * answer tells who has given it.
 */
export async function* endpointFindings(endpoint: Endpoint, known: Known): AsyncGenerator<Finding> {
  const { MINIMUM_SIZE: minimum, MAXIMUM_SIZE: maximum, MODE: mode } = known.status.configuration;
  if (mode === "shadow") {
    yield warn(
      "route",
      "MODE is shadow: the Cloud Controller answers every push, and the cache none. Is that still meant?",
    );
    return;
  }
  const unknown = randomBytes(20).toString("hex");
  const size = Math.min(Number(minimum) + 1, Number(maximum));
  const nobodys = `{"checksum":{"value":"${unknown}"},"size_in_bytes":${size}.0,"mode":"${ANY_MODE}"}`;
  const some = known.sample.map((resource) => JSON.stringify({ ...resource, mode: ANY_MODE }));
  const body = new TextEncoder().encode(`{"resources":[${[...some, nobodys].join()}]}`);
  // As cf CLI sends them with every request.
  const traceId = randomBytes(16).toString("hex");
  const headers = { "X-B3-TraceId": traceId, "X-B3-SpanId": randomBytes(8).toString("hex") };
  const answer = await send(endpoint, { method: "POST", path: "/v3/resource_matches", body, headers });
  if (answer.status !== 201) {
    yield refusalFinding(answer);
    return;
  }
  const matched = new Set(checksumsOf(answer));
  if (matched.has(unknown)) {
    yield fail("route", `${answer.target} claims a file that nobody has: it is no cache. Who answers there?`);
    return;
  }
  yield ok("route", `${answer.target} is answered by the Worker.`);
  yield traceFinding(traceId, answer);
  yield* readThroughFindings(answer, known.status);
  yield* edgeFindings(matched, known);
}

function refusalFinding(answer: ApiResponse): Finding {
  const complaint = errorSentences(answer);
  if (answer.status === 422 && answer.body.includes("a non-integer size_in_bytes")) {
    return fail(
      "route",
      `${answer.target} is answered by the Cloud Controller, not by the Worker: the route must be that of the endpoint ` +
        "itself, with a star: api.<system domain>/v3/resource_matches*",
    );
  }
  if (answer.body.includes("CF-FeatureDisabled")) {
    return warn("route", `${complaint} No developer can push: is that meant?`);
  }
  if (isOutage(answer)) return fail("route", `${complaint} ${outageAdvice(answer, "Worker")}`);
  // What the Worker relays tells what it waited for. Cloudflare adds times of its own to any answer.
  if (answer.headers.get("Server-Timing")?.includes("push-sessions;dur=")) {
    return fail(
      "route",
      isRefusal(answer)
        ? `${complaint} The Worker has taken the token: the Cloud Controller that it asks has not. Are both of one foundation?`
        : `${complaint} The Cloud Controller says so, and the Worker hands it on.`,
    );
  }
  return fail(
    "route",
    isRefusal(answer)
      ? `${complaint} For the status it was taken: has it expired meanwhile, or does somebody else answer there?`
      : `${complaint} The Worker does not answer so: who answers there?`,
  );
}

/** Whether the Worker received the trace id that was sent: it echoes what it received. */
function traceFinding(sent: string, { headers }: ApiResponse): Finding {
  const received = headers.get("X-B3-TraceId");
  if (received === sent) {
    return ok(
      "trace id",
      "The Worker receives the X-B3-TraceId of a request, by which it knows a push of cf CLI.",
    );
  }
  if (received === null) {
    return warn(
      "trace id",
      "The Worker does not receive X-B3-TraceId and X-B3-SpanId: a proxy in front of it removes them. Pushes of one user that " +
        "run at once then share decisions. Have the proxy pass both headers.",
    );
  }
  return fail(
    "trace id",
    "The Worker receives another X-B3-TraceId than was sent: a proxy in front of it replaces the header. If it does so for each " +
      "request, the requests of one push may disagree, and a file may be missing from the app. Have the proxy keep the header.",
  );
}

function* readThroughFindings({ headers }: ApiResponse, { configuration }: CacheStatus): Generator<Finding> {
  const warnings = warningsOf(headers);
  if (configuration.CLOUD_CONTROLLER_URL !== true) {
    yield ok("read-through", "CLOUD_CONTROLLER_URL is not set: the cache alone answers.");
  } else if (configuration.FEATURE_RESOURCE_MATCHING !== true) {
    yield warn("read-through", "Matching is switched off, so that the Worker asks no Cloud Controller.");
  } else if (warnings.some((warning) => warning.startsWith("The Cloud Controller"))) {
    yield fail(
      "read-through",
      "The Worker asks the Cloud Controller, which does not answer as it should: `lookup-incomplete` in the log tells why. " +
        "Is CLOUD_CONTROLLER_URL to be reached from the internet, with a trusted certificate?",
    );
  } else yield ok("read-through", "The Worker asks the Cloud Controller for what it does not know.");
}

function* edgeFindings(matched: ReadonlySet<string>, { status, sample }: Known): Generator<Finding> {
  const { configuration, suspended_until: suspended, published } = status;
  // The checks of the status tell of these.
  if (sample.length === 0 || suspended || !published || configuration.FEATURE_RESOURCE_MATCHING !== true)
    return;
  const known = sample.filter(({ checksum }) => matched.has(checksum.value)).length;
  const told = `Of ${formatCount(sample.length, "file")} that the catalog holds, the endpoint matches ${formatNumber(known)}`;
  if (known === sample.length) yield ok("edge", `${told}.`);
  else {
    yield (known === 0 ? fail : warn)(
      "edge",
      `${told}. What was told less than three minutes ago is not known everywhere yet. After that: \`resource-pool ` +
        "publish` mends a namespace, and `verify` tells whether the pool still has them.",
    );
  }
}
