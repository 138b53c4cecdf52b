import { formatDuration } from "../../format.ts";
import type { CachedResource, CacheStatus } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { withoutWorker } from "../api/responder.ts";
import type { ApiResponse } from "../api/send.ts";
import { inspectToken } from "../api/token.ts";
import { note } from "../terminal/output.ts";
import { type Addresses, endpointFindings } from "./endpoint.ts";
import { catchErrors, type Finding, fail, warn } from "./finding.ts";
import {
  apiVersionFinding,
  cloudControllerFindings,
  flagFindings,
  otherRequestsFindings,
} from "./foundation.ts";
import { limitFindings } from "./limits.ts";
import { mayRequestMatches, tokenFindings } from "./token.ts";
import { uploadLimitFindings } from "./upload-limit.ts";
import { clockFinding, requestStatus, signatureFindings, workerFinding } from "./worker.ts";

/** Resources of the catalog that the endpoint should match. */
const SAMPLE_SIZE = 10;

const NOT_COMPARED = "Sizes and file modes were not compared with the Cloud Controller's";

export interface Examined extends Addresses {
  /** A URL that leads to the Cloud Controller. By default `api`, if that is not the Worker's own. */
  cloudController: Endpoint | undefined;
  /** The foundation's `cc.packages.max_package_size`, in bytes. */
  maxPackageSize: number;
}

/**
 * Checks a deployed Worker from outside, as an operator and as a push. Yields each finding as soon as it is known.
 *
 * @throws NoResponse or Exit if there is no server at the Worker's address
 */
export async function* examine({ maxPackageSize, ...endpoints }: Examined): AsyncGenerator<Finding> {
  // Otherwise each further line about a silent host would wait for a timeout, too.
  const silentHosts = new Set<string>();
  const worker = { ...endpoints.worker, silentHosts };
  const api = endpoints.api === endpoints.worker ? worker : { ...endpoints.api, silentHosts };
  const cloudController = endpoints.cloudController && { ...endpoints.cloudController, silentHosts };
  note(`Checking ${worker.url} …`);
  const statusResponse = await requestStatus(worker);
  const { status, aheadMs } = statusResponse;
  const workerTime = Date.now() - aheadMs;
  const token = inspectToken(worker.token, workerTime);
  const { claims } = token;
  yield* tokenFindings(token, workerTime);
  yield await workerFinding(statusResponse, token, { worker, api });
  if (!status) {
    yield warn("the rest", "It was not checked. Fix the problem above, and run the command again.");
    return;
  }
  yield clockFinding(aheadMs);
  yield* catchErrors("uaa keys", signatureFindings(worker));

  const known = { status, sample: await drawSample(endpoints.worker, status) };
  if (api !== worker) note(`Checking ${api.url} …`);
  if (mayRequestMatches(claims)) {
    yield* catchErrors("route", endpointFindings({ worker, api }, known));
  } else {
    yield warn("route", "It was not checked: requests of a push need a token with cloud_controller.write.");
  }
  const apiRoot = yield* catchErrors("other requests", otherRequestsFindings(api, status));
  if (apiRoot) yield* catchErrors("upload limit", uploadLimitFindings(api, apiRoot, maxPackageSize));

  let cloudControllerRoot: ApiResponse | undefined;
  const behindBalancer = apiRoot && api !== worker ? api : undefined;
  const compared = cloudController ?? behindBalancer;
  if (!mayRequestMatches(claims)) {
    yield warn("size limits", `${NOT_COMPARED}. This needs a token with cloud_controller.write.`);
  } else if (!compared) {
    yield warn("size limits", `${NOT_COMPARED}. Set --cloud-controller to a URL that leads to it.`);
  } else {
    if (cloudController) note(`Checking ${cloudController.url} …`);
    const direct = withoutWorker(compared);
    cloudControllerRoot = yield* catchErrors(
      "cloud controller",
      cloudControllerFindings(direct, (explanation) =>
        cloudController
          ? fail("cloud controller", explanation)
          : warn("size limits", `${NOT_COMPARED}: ${explanation}`),
      ),
    );
    if (cloudControllerRoot) yield* catchErrors("size limits", limitFindings(direct, known));
  }
  const root = cloudControllerRoot ?? apiRoot;
  if (root) yield apiVersionFinding(root);
  const flagsEndpoint = cloudControllerRoot ? compared : apiRoot && api;
  if (flagsEndpoint) yield* catchErrors("feature flags", flagFindings(flagsEndpoint, status));
  for (const { level, name, text } of status.checks) {
    yield {
      level: level === "fail" ? "FAIL" : level,
      name,
      text: withTimesLeft(text, Date.parse(status.time)),
    };
  }
}

/** Replaces the ISO times of a check by `12:30 UTC, in 7 min`. @param now ms since the epoch, by the Worker's clock */
function withTimesLeft(text: string, now: number): string {
  return text.replaceAll(
    /\d{4}-\d\d-\d\dT(\d\d:\d\d):[\d.]+Z/g,
    (time, minute) => `${minute} UTC, in ${formatDuration(Math.max(0, Date.parse(time) - now))}`,
  );
}

/** Draws resources of the catalog's first page whose sizes the Cloud Controller may match: it excludes both limits. */
async function drawSample(endpoint: Endpoint, { configuration }: CacheStatus): Promise<CachedResource[]> {
  const { value: page = [] } = await new CacheClient(endpoint).resources().next();
  const { MINIMUM_SIZE: minimum, MAXIMUM_SIZE: maximum } = configuration;
  const candidates = page.filter(
    ({ size_in_bytes: size }: CachedResource) => size > Number(minimum) && size < Number(maximum),
  );
  const sample: CachedResource[] = [];
  while (sample.length < SAMPLE_SIZE && candidates.length > 0) {
    sample.push(...candidates.splice(Math.floor(Math.random() * candidates.length), 1));
  }
  return sample;
}
