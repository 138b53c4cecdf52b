import { randomBytes } from "node:crypto";
import { formatCount, formatNumber } from "../../format.ts";
import type { CachedResource, CacheStatus } from "../../operator-api/responses.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { checksumsOf, resourcesOf } from "../api/matches.ts";
import { isLoop, isOfCloudController, randomSha1, requestFraction, withoutWorker } from "../api/responder.ts";
import { type ApiResponse, hasErrorEnvelope, isOutage, warningsOf } from "../api/send.ts";
import {
  errorSentences,
  type Finding,
  fail,
  isRefusal,
  loopError,
  ok,
  outageAdvice,
  warn,
} from "./finding.ts";
import { requestRoot } from "./foundation.ts";

/** Facts that are known before the endpoint is checked. */
export interface Known {
  status: CacheStatus;
  /** Resources of the catalog, of sizes that may match. */
  sample: readonly CachedResource[];
}

/** Where the Worker is, and where pushes go. */
export interface Addresses {
  /** The Worker itself: it has the operator API. */
  worker: Endpoint;
  /** The address that cf uses. The same as `worker`, unless the Worker is behind a load balancer. */
  api: Endpoint;
}

/** Who responds to pushes while the Worker can't be checked. Undefined if that is not certain. */
export async function findResponder(
  api: Endpoint,
): Promise<"Cloud Controller" | "Worker" | ApiResponse | undefined> {
  const response = await requestFraction(api).catch(() => undefined);
  if (!response) return undefined;
  if (isOfCloudController(response)) return "Cloud Controller";
  if (response.status === 201) return "Worker";
  return response.status >= 500 ? response : undefined;
}

/** Sends a request as a push does: for a few files of the catalog, and for one that does not exist. */
export async function* endpointFindings({ worker, api }: Addresses, known: Known): AsyncGenerator<Finding> {
  const { MINIMUM_SIZE: minimum, MAXIMUM_SIZE: maximum, MODE: mode } = known.status.configuration;
  const unknown = { sha1: randomSha1(), size: Math.min(Number(minimum) + 1, Number(maximum)) };
  if (mode === "shadow") {
    const response = await requestFraction(api, unknown);
    yield isLoop(response)
      ? fail("route", loopError(response, "every push fails"))
      : warn(
          "route",
          "MODE is shadow: every push gets the Cloud Controller's response. Is that still intended?",
        );
    return;
  }
  // cf CLI sends these headers with every request.
  const traceId = randomBytes(16).toString("hex");
  const headers = { "X-B3-TraceId": traceId, "X-B3-SpanId": randomBytes(8).toString("hex") };
  const request = { ...unknown, sample: known.sample, headers };
  const response = await requestFraction(api, request);
  if (response.status !== 201) {
    if (response.body.includes("CF-FeatureDisabled")) {
      yield warn("route", `${errorSentences(response)} No developer can push. Is that intended?`);
    } else if (isOfCloudController(response) && api !== worker) {
      yield fail("route", balancerError(response, worker, await requestFraction(worker, request)));
    } else {
      yield fail("route", routeError(response));
    }
    return;
  }
  const matched = checksumsOf(resourcesOf(response));
  if (matched.has(unknown.sha1)) {
    yield fail(
      "route",
      `${response.target} matches a file that does not exist. The Worker never does: the address leads to another server.`,
    );
    return;
  }
  yield ok("route", `${response.target} leads to the Worker.`);
  yield traceFinding(traceId, response);
  yield* readThroughFindings(response, { worker, api }, known.status);
  yield* edgeFindings(matched, known);
}

/** @param direct the Worker's response to the same request, without the load balancer */
function balancerError({ target }: ApiResponse, worker: Endpoint, direct: ApiResponse): string {
  const { host } = new URL(worker.url);
  if (direct.status === 403 && !hasErrorEnvelope(direct)) {
    return (
      `${target} leads to the Cloud Controller. Whether the Worker responds could not be checked, because a firewall refuses ` +
      `requests at ${direct.target} (403). Check that the load balancer forwards POST /v3/resource_matches to ${host}.`
    );
  }
  const found = `${target} leads to the Cloud Controller, and not to the Worker.`;
  return direct.status === 201
    ? `${found} The Worker responds at ${worker.url}. Configure the load balancer: it must forward POST /v3/resource_matches, ` +
        `exactly this path, to ${host} with that name as Host and SNI.`
    : `${found} The Worker itself returns an error, and the load balancer lets the Cloud Controller respond instead: ` +
        `${errorSentences(direct)} See the Worker's log.`;
}

function routeError(response: ApiResponse): string {
  if (isOfCloudController(response)) {
    return (
      `${response.target} leads to the Cloud Controller, not to the Worker. The route must be the endpoint's own, with a ` +
      "star: api.<system domain>/v3/resource_matches*"
    );
  }
  if (isLoop(response)) return loopError(response, "every push fails");
  const error = errorSentences(response);
  if (isOutage(response)) return `${error} ${outageAdvice(response, "Worker")}`;
  // The Worker adds this metric to responses that it relays. Cloudflare adds other metrics to any response.
  if (response.headers.get("Server-Timing")?.includes("push-sessions;dur=")) {
    return isRefusal(response)
      ? `${error} The Worker accepted the token, and its Cloud Controller refused it. CLOUD_CONTROLLER_URL must lead to the ` +
          "Cloud Controller of the same foundation as UAA_URL."
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

async function* readThroughFindings(
  { headers }: ApiResponse,
  addresses: Addresses,
  { configuration }: CacheStatus,
): AsyncGenerator<Finding> {
  if (configuration.CLOUD_CONTROLLER_URL !== true) {
    yield ok("read-through", "CLOUD_CONTROLLER_URL is not set: only the cache matches.");
  } else if (configuration.FEATURE_RESOURCE_MATCHING !== true) {
    yield warn(
      "read-through",
      "Matching is switched off: the Worker sends no requests to the Cloud Controller.",
    );
  } else if (warningsOf(headers).some((warning) => warning.startsWith("The Cloud Controller"))) {
    yield fail("read-through", await readThroughError(addresses));
  } else yield ok("read-through", "The Worker looks up in the Cloud Controller what is not in the cache.");
}

async function readThroughError({ worker, api }: Addresses): Promise<string> {
  const consequence = "the Worker's look-ups come back to it, and nothing matches except from the cache";
  const passedThrough = await requestRoot(worker).catch(() => undefined);
  if (passedThrough && isLoop(passedThrough)) return loopError(passedThrough, consequence);
  if (api !== worker) {
    const response = await requestFraction(withoutWorker(api)).catch(() => undefined);
    if (response && isLoop(response)) {
      return (
        "The Worker gets no valid response from the Cloud Controller. The load balancer sends requests of the Worker to the " +
        `Worker. If CLOUD_CONTROLLER_URL is ${api.url}, that is the reason. ${loopError(response, consequence)}`
      );
    }
  }
  return (
    "The Worker gets no valid response from the Cloud Controller: see `lookup-incomplete` in the log. Can " +
    "CLOUD_CONTROLLER_URL be reached from the internet, with a trusted certificate?"
  );
}

function* edgeFindings(matched: ReadonlySet<string>, { status, sample }: Known): Generator<Finding> {
  const { configuration, suspended_until: suspended, published, entries } = status;
  // The Worker's own checks report these.
  if (suspended || !published || entries === 0 || configuration.FEATURE_RESOURCE_MATCHING !== true) return;
  if (sample.length === 0) {
    yield warn(
      "edge",
      "It was not checked: no file of the cache that was read has a size between MINIMUM_SIZE and MAXIMUM_SIZE. If these are " +
        "right, fill the cache with `resource-pool sync`.",
    );
    return;
  }
  const count = sample.filter(({ checksum }) => matched.has(checksum.value)).length;
  const number = count === 0 ? "none" : formatNumber(count);
  const text = `The endpoint matches ${number} of ${formatCount(sample.length, "file")} of the cache.`;
  if (count === sample.length) yield ok("edge", text);
  else {
    const level = count === 0 ? fail : warn;
    yield level(
      "edge",
      `${text} Files that were reported less than three minutes ago may not be published everywhere yet. After that: ` +
        "`resource-pool publish` repairs the KV namespace. `resource-pool verify` shows whether the pool still has the files.",
    );
  }
}
