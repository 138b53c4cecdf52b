import type { CachedResource, CacheStatus } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { note } from "../terminal/output.ts";
import { endpointFindings } from "./endpoint.ts";
import { type Finding, orErrorMessage, warn } from "./finding.ts";
import { cloudControllerFindings, flagFindings, otherRequestsFindings } from "./foundation.ts";
import { limitFindings } from "./limits.ts";
import { claimsOf, maySend, tokenFindings } from "./token.ts";
import { askStatus, clockFinding, keysFindings, workerFinding } from "./worker.ts";

/** Asked for by each run: a few tell whether the edge knows what the catalog does. */
const SAMPLE = 10;

/**
 * Looks at a deployed Worker from outside, as an operator and as a push, and says what it finds as it finds it.
 *
 * @param cloudController where one answers and not the Worker, if that is known
 * @throws NoAnswer or Exit where nothing answers at `endpoint`
 */
export async function* examine(
  endpoint: Endpoint,
  cloudController: Endpoint | undefined,
): AsyncGenerator<Finding> {
  note(`Asking ${endpoint.url} …`);
  const asked = await askStatus(endpoint);
  const { status, aheadMs } = asked;
  yield* tokenFindings(endpoint.token, Date.now() - aheadMs);
  yield workerFinding(asked, endpoint.token);
  if (!status) {
    yield warn("the rest", "It was not checked: put right what is above, and run this again.");
    return;
  }
  yield clockFinding(aheadMs);
  yield* orErrorMessage("uaa keys", keysFindings(endpoint));

  const known = { status, sample: await drawn(endpoint, status) };
  if (maySend(claimsOf(endpoint.token))) yield* orErrorMessage("route", endpointFindings(endpoint, known));
  else
    yield warn(
      "route",
      "It was not checked: only a token with cloud_controller.write may ask as a push does.",
    );
  const isBehind = yield* orErrorMessage("other requests", otherRequestsFindings(endpoint, status));

  let isBeside: boolean | undefined;
  if (cloudController) {
    note(`Asking ${cloudController.url} …`);
    isBeside = yield* orErrorMessage("cloud controller", cloudControllerFindings(cloudController));
    if (isBeside) yield* orErrorMessage("size limits", limitFindings(cloudController, known));
  } else {
    yield warn(
      "size limits",
      "They and the file modes were not compared with the Cloud Controller's: --cloud-controller <url> names an address " +
        "that leads to it and not to the Worker.",
    );
  }
  const answering = isBeside ? cloudController : isBehind ? endpoint : undefined;
  if (answering) yield* orErrorMessage("feature flags", flagFindings(answering, status));
  for (const { level, name, text } of status.checks)
    yield { level: level === "fail" ? "FAIL" : level, name, text };
}

/** Some of what the catalog holds, at random, of sizes that the Cloud Controller may match: both of its limits are exclusive. */
async function drawn(endpoint: Endpoint, { configuration }: CacheStatus): Promise<CachedResource[]> {
  const client = new CacheClient(endpoint, new AbortController().signal);
  const { value: page = [] } = await client.resources().next();
  const { MINIMUM_SIZE: minimum, MAXIMUM_SIZE: maximum } = configuration;
  const within = page.filter(
    ({ size_in_bytes: size }: CachedResource) => size > Number(minimum) && size < Number(maximum),
  );
  const sample: CachedResource[] = [];
  while (sample.length < SAMPLE && within.length > 0) {
    sample.push(...within.splice(Math.floor(Math.random() * within.length), 1));
  }
  return sample;
}
