import { randomBytes } from "node:crypto";
import { formatCount, formatNumber } from "../../format.ts";
import type { CachedResource, CacheStatus } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { checksumsOf } from "../api/matches.ts";
import { type ApiResponse, isOutage, send, warningsOf } from "../api/send.ts";
import { errorSentences, type Finding, fail, isRefusal, ok, outageAdvice, warn } from "./finding.ts";

/** Facts that are known before the endpoint is checked. */
export interface Known {
  status: CacheStatus;
  /** Resources of the catalog, of sizes that may match. */
  sample: readonly CachedResource[];
}

/**
 * Sends a request to the endpoint as a push does: for a few files of the catalog, and for one that does not exist. The
 * size of the latter is a decimal fraction. The Worker accepts it and a Cloud Controller refuses it, so the response
 * shows which of them it comes from.
 */
export async function* endpointFindings(endpoint: Endpoint, known: Known): AsyncGenerator<Finding> {
  const { MINIMUM_SIZE: minimum, MAXIMUM_SIZE: maximum, MODE: mode } = known.status.configuration;
  if (mode === "shadow") {
    yield warn(
      "route",
      "MODE is shadow: every push gets the Cloud Controller's response. Is that still intended?",
    );
    return;
  }
  const unknownSha1 = randomBytes(20).toString("hex");
  const size = Math.min(Number(minimum) + 1, Number(maximum));
  const unknown = `{"checksum":{"value":"${unknownSha1}"},"size_in_bytes":${size}.0,"mode":"${ANY_MODE}"}`;
  const sample = known.sample.map((resource) => JSON.stringify({ ...resource, mode: ANY_MODE }));
  const body = `{"resources":[${[...sample, unknown].join()}]}`;
  // cf CLI sends these headers with every request.
  const traceId = randomBytes(16).toString("hex");
  const headers = { "X-B3-TraceId": traceId, "X-B3-SpanId": randomBytes(8).toString("hex") };
  const response = await send(endpoint, { method: "POST", path: "/v3/resource_matches", body, headers });
  if (response.status !== 201) {
    yield response.body.includes("CF-FeatureDisabled")
      ? warn("route", `${errorSentences(response)} No developer can push. Is that intended?`)
      : fail("route", routeError(response));
    return;
  }
  const matched = checksumsOf(response);
  if (matched.has(unknownSha1)) {
    yield fail(
      "route",
      `${response.target} matches a file that does not exist. Find out which server this is.`,
    );
    return;
  }
  yield ok("route", `${response.target} leads to the Worker.`);
  yield traceFinding(traceId, response);
  yield* readThroughFindings(response, known.status);
  yield* edgeFindings(matched, known);
}

function routeError(response: ApiResponse): string {
  if (response.status === 422 && response.body.includes("a non-integer size_in_bytes")) {
    return (
      `${response.target} leads to the Cloud Controller, not to the Worker. The route must be the endpoint's own, with a ` +
      "star: api.<system domain>/v3/resource_matches*"
    );
  }
  const error = errorSentences(response);
  if (isOutage(response)) return `${error} ${outageAdvice(response, "Worker")}`;
  // The Worker adds this metric to responses that it relays. Cloudflare adds other metrics to any response.
  if (response.headers.get("Server-Timing")?.includes("push-sessions;dur=")) {
    return isRefusal(response)
      ? `${error} The Worker accepted the token, and its Cloud Controller refused it. Are they of the same foundation?`
      : `${error} The Worker relays this response of the Cloud Controller.`;
  }
  return isRefusal(response)
    ? `${error} The token was accepted before. Has it expired since, or does the route lead to another server?`
    : `${error} The Worker never responds like this. Which server does the route lead to?`;
}

/** Whether the Worker received the trace id that was sent: it returns the one that it received. */
function traceFinding(sent: string, { headers }: ApiResponse): Finding {
  const received = headers.get("X-B3-TraceId");
  if (received === sent) {
    return ok(
      "trace id",
      "The Worker receives the X-B3-TraceId of a request. It identifies a push of cf CLI.",
    );
  }
  if (received === null) {
    return warn(
      "trace id",
      "The Worker does not receive X-B3-TraceId and X-B3-SpanId: a proxy in front of it removes them. Pushes of one user " +
        "that run at the same time then share decisions. Configure the proxy to pass both headers.",
    );
  }
  return fail(
    "trace id",
    "The Worker receives another X-B3-TraceId than was sent: a proxy in front of it replaces the header. If it does so " +
      "for each request, the requests of one push may get different decisions, and a file may be missing from the app. " +
      "Configure the proxy to keep the header.",
  );
}

function* readThroughFindings({ headers }: ApiResponse, { configuration }: CacheStatus): Generator<Finding> {
  if (configuration.CLOUD_CONTROLLER_URL !== true) {
    yield ok("read-through", "CLOUD_CONTROLLER_URL is not set: only the cache matches.");
  } else if (configuration.FEATURE_RESOURCE_MATCHING !== true) {
    yield warn(
      "read-through",
      "Matching is switched off: the Worker sends no requests to the Cloud Controller.",
    );
  } else if (warningsOf(headers).some((warning) => warning.startsWith("The Cloud Controller"))) {
    yield fail(
      "read-through",
      "The Worker gets no valid response from the Cloud Controller: see `lookup-incomplete` in the log. Can " +
        "CLOUD_CONTROLLER_URL be reached from the internet, with a trusted certificate?",
    );
  } else yield ok("read-through", "The Worker looks up in the Cloud Controller what is not in the cache.");
}

function* edgeFindings(matched: ReadonlySet<string>, { status, sample }: Known): Generator<Finding> {
  const { configuration, suspended_until: suspended, published } = status;
  // The Worker's own checks report these.
  if (suspended || !published || configuration.FEATURE_RESOURCE_MATCHING !== true) return;
  if (sample.length === 0) return;
  const count = sample.filter(({ checksum }) => matched.has(checksum.value)).length;
  const text = `The endpoint matches ${formatNumber(count)} of ${formatCount(sample.length, "file")} in the catalog.`;
  if (count === sample.length) yield ok("edge", text);
  else {
    const level = count === 0 ? fail : warn;
    yield level(
      "edge",
      `${text} Files that were reported less than three minutes ago may not be published everywhere yet. After that: ` +
        "`resource-pool publish` repairs a namespace, and `resource-pool verify` shows whether the pool still has the files.",
    );
  }
}
