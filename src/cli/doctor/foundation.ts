import type { CacheStatus } from "../../operator-api/responses.ts";
import type { Endpoint } from "../api/endpoint.ts";
import {
  isLoop,
  isOfCloudController,
  isOfWorker,
  requestFraction,
  workerAtCloudController,
} from "../api/responder.ts";
import { type ApiResponse, hasErrorEnvelope, isOutage, jsonOf, send } from "../api/send.ts";
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

/** From this version on, the Cloud Controller compares the digests of matched files. */
const VERIFYING_API = {
  major: 3,
  minor: 182,
  version: "3.182.0",
  release: "capi-release 1.197.0, December 2024",
};

const FLAGS = [
  ["resource_matching", "FEATURE_RESOURCE_MATCHING"],
  ["app_bits_upload", "FEATURE_APP_BITS_UPLOAD"],
] as const;

/**
 * Whether requests other than matches reach a Cloud Controller. `GET /` is the first request of cf CLI.
 *
 * @param api the address that cf uses
 * @returns the response of the Cloud Controller, if there is one
 */
export async function* otherRequestsFindings(
  api: Endpoint,
  { configuration }: CacheStatus,
): AsyncGenerator<Finding, ApiResponse | undefined> {
  const response = await requestRoot(api);
  if (isApiRoot(response)) {
    yield ok("other requests", `${response.target} leads to a Cloud Controller.`);
    return response;
  }
  yield response.status === 404 && configuration.CLOUD_CONTROLLER_URL !== true
    ? warn(
        "other requests",
        `There is only the Worker at ${api.url}: cf can't use this URL. Give the Worker a route on the API's domain, ` +
          "or set CLOUD_CONTROLLER_URL. If the Worker is behind a load balancer, set --api to the URL that cf uses.",
      )
    : fail("other requests", otherRequestsError(response));
  return undefined;
}

function otherRequestsError(response: ApiResponse): string {
  if (isLoop(response))
    return loopError(response, "the Worker sends each request to itself, and cf can't log in");
  const error = errorSentences(response);
  if (response.status === 503 && response.body.includes("The Cloud Controller is currently unavailable")) {
    return (
      `${error} The Worker can't reach it, and cf can't log in. Can CLOUD_CONTROLLER_URL be reached from the internet, ` +
      "with a trusted certificate? See `refused` in the Worker's log for the reason."
    );
  }
  if (isOutage(response)) {
    return `${error} Until this is fixed, cf can't log in. ${outageAdvice(response, "Cloud Controller")}`;
  }
  if (isRefusal(response)) {
    return `${error} A Cloud Controller requires no token for this. Is there a firewall or a login page in front of it?`;
  }
  return `${error} There is no Cloud Controller at this address, so cf can't log in. Which server does the route lead to?`;
}

/**
 * Whether an address leads to a Cloud Controller, and not to the Worker.
 *
 * @param cloudController of `withoutWorker`
 * @param workerFinding the finding if the address leads to a Worker
 * @returns the response to `GET /`, if it does
 */
export async function* cloudControllerFindings(
  cloudController: Endpoint,
  workerFinding: (explanation: string) => Finding,
): AsyncGenerator<Finding, ApiResponse | undefined> {
  const response = await requestFraction(cloudController);
  if (isOfWorker(response)) {
    yield workerFinding(workerAtCloudController(cloudController));
    return undefined;
  }
  if (response.body.includes("CF-FeatureDisabled")) {
    yield warn("cloud controller", `${errorSentences(response)} Sizes and file modes were not compared.`);
    return undefined;
  }
  const { url } = cloudController;
  if (!isOfCloudController(response)) {
    yield cloudControllerProblem(response, url);
    return undefined;
  }
  const root = await requestRoot(cloudController);
  if (!isApiRoot(root)) {
    yield cloudControllerProblem(root, url);
    return undefined;
  }
  yield ok("cloud controller", `It responds at ${url}.`);
  return root;
}

function cloudControllerProblem(response: ApiResponse, url: string): Finding {
  const error = errorSentences(response);
  if (isOutage(response))
    return fail("cloud controller", `${error} ${outageAdvice(response, "Cloud Controller")}`);
  return fail(
    "cloud controller",
    isRefusal(response) && hasErrorEnvelope(response)
      ? `${error} The Worker accepts this token. Is ${url} of the same foundation?`
      : `${error} A Cloud Controller responds differently. Set --cloud-controller to a URL that leads to the Cloud Controller.`,
  );
}

/**
 * Whether the Cloud Controller verifies what it takes from the pool.
 *
 * @param root its response to `GET /`
 */
export function apiVersionFinding(root: ApiResponse): Finding {
  const { version } = apiLinkOf(root)?.meta ?? {};
  const [major, minor] = /^(\d+)\.(\d+)\.\d+/.exec(String(version))?.slice(1).map(Number) ?? [];
  const consequence =
    `Before ${VERIFYING_API.version} (${VERIFYING_API.release}) it does not verify the files that it takes from the pool. A ` +
    "stale match can then lead to an app with an empty file, and no error message, instead of a failed push.";
  if (major === undefined || minor === undefined) {
    return warn(
      "api version",
      `The Cloud Controller at ${root.target} does not say its API version. ${consequence} Compare the version of ` +
        "capi-release.",
    );
  }
  if (major > VERIFYING_API.major || (major === VERIFYING_API.major && minor >= VERIFYING_API.minor)) {
    return ok(
      "api version",
      `The Cloud Controller has API ${version}. It verifies the files that it takes from the pool.`,
    );
  }
  return warn(
    "api version",
    `The Cloud Controller has API ${version}. ${consequence} Upgrade the foundation first, or set MODE = "shadow" until then.`,
  );
}

/** Compares the Worker's flags with the foundation's. @param endpoint leads to a Cloud Controller */
export async function* flagFindings(
  endpoint: Endpoint,
  { configuration }: CacheStatus,
): AsyncGenerator<Finding> {
  const response = await send(endpoint, { method: "GET", path: "/v3/feature_flags" });
  const { resources } = (jsonOf(response) ?? {}) as { resources?: { name?: unknown; enabled?: unknown }[] };
  if (response.status !== 200 || !Array.isArray(resources)) {
    yield warn("feature flags", `They could not be read: ${errorSentences(response)}`);
    return;
  }
  for (const [flag, variable] of FLAGS) {
    const enabled = resources.find(({ name }) => name === flag)?.enabled;
    if (typeof enabled !== "boolean") {
      yield warn(
        "feature flags",
        `The Cloud Controller does not list ${flag}. Compare ${variable} with \`cf feature-flag ${flag}\`.`,
      );
    } else if (enabled === configuration[variable]) {
      yield ok("feature flags", `${flag} is ${enabled ? "on" : "off"}, and so is ${variable}.`);
    } else {
      yield fail("feature flags", `${flag} is ${enabled ? "on" : "off"}: set ${variable} = "${enabled}".`);
    }
  }
}

/** The first request of cf CLI. A Cloud Controller needs no token for it. */
export function requestRoot(endpoint: Endpoint): Promise<ApiResponse> {
  return send(endpoint, { method: "GET", path: "/" });
}

function isApiRoot(response: ApiResponse): boolean {
  return response.status === 200 && apiLinkOf(response) !== undefined;
}

/** The link to the API in a response to `GET /`. */
function apiLinkOf(root: ApiResponse) {
  const { links } = (jsonOf(root) ?? {}) as {
    links?: { cloud_controller_v3?: { meta?: { version?: unknown } } };
  };
  return links?.cloud_controller_v3;
}
