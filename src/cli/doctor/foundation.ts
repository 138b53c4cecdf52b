import type { CacheStatus } from "../../operator-api/responses.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResponse, jsonOf, send } from "../api/send.ts";
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
import { CACHE } from "./worker.ts";

const FLAGS = [
  ["resource_matching", "FEATURE_RESOURCE_MATCHING"],
  ["app_bits_upload", "FEATURE_APP_BITS_UPLOAD"],
] as const;

/**
 * Whether all that is no resource match goes where it should: `GET /` is the first that cf CLI asks.
 *
 * @returns whether a Cloud Controller answers there
 */
export async function* otherRequestsFindings(
  endpoint: Endpoint,
  { configuration }: CacheStatus,
): AsyncGenerator<Finding, boolean> {
  const answer = await send(endpoint, { method: "GET", path: "/" });
  if (isCloudControllers(answer)) {
    yield ok("other requests", `${answer.target} is answered by a Cloud Controller.`);
    return true;
  }
  yield answer.status === 404 && configuration.CLOUD_CONTROLLER_URL !== true
    ? warn(
        "other requests",
        `Nobody but the Worker is at ${endpoint.url}, so that cf can't use it: give the Worker a route on the API's ` +
          "domain, or set CLOUD_CONTROLLER_URL.",
      )
    : fail("other requests", otherRequestsTrouble(answer));
  return false;
}

function otherRequestsTrouble(answer: ApiResponse): string {
  const complaint = errorSentences(answer);
  if (answer.status === 503 && answer.body.includes("The Cloud Controller is currently unavailable")) {
    return (
      `${complaint} The Worker can't reach it, and cf can't log in: is CLOUD_CONTROLLER_URL to be reached from the internet, ` +
      "with a trusted certificate? `refused` in the Worker's log tells why."
    );
  }
  if (isOutage(answer))
    return `${complaint} cf can't log in meanwhile. ${outageAdvice(answer, "Cloud Controller")}`;
  if (isRefusal(answer)) {
    return `${complaint} A Cloud Controller tells this without a token: is there a firewall or a log-in before it?`;
  }
  return `No Cloud Controller is behind it, and cf can't log in: ${complaint}`;
}

/** Whether `--cloud-controller` leads to one, and not to the Worker. @returns whether it does */
export async function* cloudControllerFindings(cloudController: Endpoint): AsyncGenerator<Finding, boolean> {
  for (const path of [CACHE, "/"]) {
    const answer = await send(cloudController, { method: "GET", path });
    const isExpected =
      path === CACHE ? answer.status === 404 || answer.status === 405 : isCloudControllers(answer);
    if (isExpected) continue;
    yield fail("cloud controller", cloudControllerTrouble(answer, path));
    return false;
  }
  yield ok("cloud controller", `It answers at ${cloudController.url}.`);
  return true;
}

function cloudControllerTrouble(answer: ApiResponse, path: string): string {
  const complaint = errorSentences(answer);
  if (isOutage(answer)) return `${complaint} ${outageAdvice(answer, "Cloud Controller")}`;
  if (isRefusal(answer)) {
    return `${complaint} The Worker takes the token: is --cloud-controller of the same foundation?`;
  }
  return path === CACHE
    ? `--cloud-controller must lead to the Cloud Controller and not to the Worker, which alone knows this address: ${complaint}`
    : `It is none: ${complaint}`;
}

/** Whether the Worker's flags are those of the foundation. @param endpoint where a Cloud Controller answers */
export async function* flagFindings(
  endpoint: Endpoint,
  { configuration }: CacheStatus,
): AsyncGenerator<Finding> {
  const answer = await send(endpoint, { method: "GET", path: "/v3/feature_flags" });
  const { resources } = (jsonOf(answer) ?? {}) as { resources?: { name?: unknown; enabled?: unknown }[] };
  if (answer.status !== 200 || !Array.isArray(resources)) {
    yield warn("feature flags", `They could not be read: ${errorSentences(answer)}`);
    return;
  }
  for (const [flag, variable] of FLAGS) {
    const enabled = resources.find(({ name }) => name === flag)?.enabled;
    if (typeof enabled !== "boolean") {
      yield warn(
        "feature flags",
        `The Cloud Controller does not tell of ${flag}: compare \`cf feature-flag ${flag}\`.`,
      );
    } else if (enabled === configuration[variable]) {
      yield ok("feature flags", `${flag} is ${enabled ? "on" : "off"}, and so is ${variable}.`);
    } else {
      yield fail("feature flags", `${flag} is ${enabled ? "on" : "off"}: set ${variable} = "${enabled}".`);
    }
  }
}

function isCloudControllers(answer: ApiResponse): boolean {
  const { links } = (jsonOf(answer) ?? {}) as { links?: { cloud_controller_v3?: unknown } };
  return answer.status === 200 && links?.cloud_controller_v3 !== undefined;
}
