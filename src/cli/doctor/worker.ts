import { randomBytes } from "node:crypto";
import type { JWTPayload } from "jose";
import { formatDuration } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { requestCacheStatus } from "../api/cache-client.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResponse, hasErrorEnvelope, isOutage, jsonOf } from "../api/send.ts";
import type { InspectedToken } from "../api/token.ts";
import { type Addresses, findResponder } from "./endpoint.ts";
import { errorAdvice, errorSentences, type Finding, fail, ok, outageAdvice, warn } from "./finding.ts";

const SECOND_MS = 1_000;
const CLOCK_SKEW_MAX_MS = 60 * SECOND_MS;
const SIGNATURE_BYTES = 256;

export interface StatusResponse {
  response: ApiResponse;
  /** Undefined if the response is not the status of a Worker. */
  status: CacheStatus | undefined;
  /** How far this machine's clock is ahead of the Worker's, beyond the time that the request took. */
  aheadMs: number;
}

/** @throws NoResponse */
export async function requestStatus(endpoint: Endpoint): Promise<StatusResponse> {
  const before = Date.now();
  const response = await requestCacheStatus(endpoint);
  const after = Date.now();
  const status = response.status === 200 ? parseStatus(response) : undefined;
  const time = status ? Date.parse(status.time) : before;
  return { response, status, aheadMs: time < before ? before - time : Math.min(0, after - time) };
}

function parseStatus(response: ApiResponse): CacheStatus | undefined {
  const status = jsonOf(response) as CacheStatus | null | undefined;
  const isStatus = status?.configuration && Array.isArray(status.checks) && Date.parse(status.time) > 0;
  return isStatus ? status : undefined;
}

export async function workerFinding(
  { response, status }: StatusResponse,
  token: InspectedToken,
  addresses: Addresses,
): Promise<Finding> {
  if (status) return ok("worker", `Version ${status.version} responds at ${response.target}.`);
  return fail("worker", await workerError(response, token, addresses));
}

async function workerError(
  response: ApiResponse,
  { claims, problem }: InspectedToken,
  addresses: Addresses,
): Promise<string> {
  if (response.status === 200 && hasStatusOfWorker(response)) {
    return (
      `A Worker of another version responds at ${response.target}. The Worker and this command must be of the same version: ` +
      "deploy the version of this command."
    );
  }
  if (response.status === 401 && hasErrorEnvelope(response)) {
    if (problem !== undefined)
      return `${errorSentences(response)} The line \`token\` has the reason, and what to do.`;
    const responder = await findResponder(addresses.api);
    return `${errorAdvice(response)} ${settingsAdvice(claims)}${pushSentences(responder, addresses)}`;
  }
  if (!isOutage(response)) return errorAdvice(response);
  const error = errorSentences(response);
  const isOwn500 = response.status === 500 && response.body.includes("UnknownError");
  if (!isOwn500 && !isUaaOutage(response)) return `${error} ${outageAdvice(response, "Worker")}`;
  const responder = await findResponder(addresses.api);
  if (isOwn500 && responder === "Worker") {
    return `${error} The Worker still responds to pushes. \`npx wrangler tail\` shows \`unexpected\`: report it.`;
  }
  const cause = isOwn500
    ? "Probably a variable is wrong: `npx wrangler tail` shows `misconfigured`, and which variable. Correct it and deploy."
    : "The Worker has never read UAA's keys. Can <UAA_URL>/token_keys be reached from the internet, with a trusted " +
      "certificate?";
  return `${error} ${cause}${pushSentences(responder, addresses)}`;
}

/** @param responder of pushes */
function pushSentences(
  responder: Awaited<ReturnType<typeof findResponder>>,
  { worker, api }: Addresses,
): string {
  if (responder === "Cloud Controller" && api !== worker) {
    return (
      " Pushes work: the Cloud Controller responds to them, because the Worker fails open or the load balancer replaces its " +
      "errors. The cache is not used."
    );
  }
  if (responder === "Cloud Controller") {
    return (
      " The Worker fails open: the Cloud Controller responds to pushes. They work, but without the cache. The log shows " +
      "`failed-open` for each."
    );
  }
  if (responder === undefined || responder === "Worker") return "";
  return (
    ` Pushes fail too: ${errorSentences(responder)} Until it is fixed, delete the Worker's route, or let the load balancer send ` +
    "pushes to the Cloud Controller. With CLOUD_CONTROLLER_URL, the Cloud Controller responds in such a case."
  );
}

/** What the Worker's settings must be for a token that is not itself the problem. */
function settingsAdvice({ iss, aud }: JWTPayload): string {
  return (
    "If the token is of the right foundation, the Worker's settings are wrong: UAA_ISSUER must be " +
    `${JSON.stringify(iss ?? null)}, as in the token, UAA_AUDIENCE one of ${JSON.stringify(aud ?? null)}, and UAA_URL the UAA ` +
    "whose keys sign it. The Worker's log has the reason (`refused`)."
  );
}

/** Whether the response is the status of a Worker of any version. */
function hasStatusOfWorker(response: ApiResponse): boolean {
  const status = jsonOf(response) as Partial<CacheStatus> | null | undefined;
  return typeof status?.entries === "number" && typeof status.configuration === "object";
}

/** Whether the Worker has no keys of UAA. */
function isUaaOutage({ status, body }: ApiResponse): boolean {
  return status === 503 && body.includes("UAA");
}

export function clockFinding(aheadMs: number): Finding {
  const skew = formatDuration(aheadMs);
  if (Math.abs(aheadMs) < SECOND_MS) return ok("clock", "This machine's clock agrees with the Worker's.");
  if (Math.abs(aheadMs) <= CLOCK_SKEW_MAX_MS) {
    return ok("clock", `This machine's clock differs by ${skew} from the Worker's, which is no problem.`);
  }
  return warn(
    "clock",
    `This machine's clock is ${skew} ${aheadMs > 0 ? "ahead of" : "behind"} the Worker's. Set it: \`import\` computes ` +
      "from it how old a list is.",
  );
}

/** Whether the Worker verifies signatures: sends a token that it has just accepted, with another signature. */
export async function* signatureFindings(endpoint: Endpoint): AsyncGenerator<Finding> {
  const token = endpoint.token.replace(/[^.]*$/, randomBytes(SIGNATURE_BYTES).toString("base64url"));
  const response = await requestCacheStatus({ ...endpoint, token });
  if (response.status === 401) {
    yield ok("uaa keys", "The Worker accepts this token, and refuses it with a wrong signature.");
  } else if (isOutage(response)) {
    yield warn(
      "uaa keys",
      `Could not check whether a wrong signature is refused: ${errorSentences(response)} ${outageAdvice(response, "Worker")}`,
    );
  } else {
    yield fail(
      "uaa keys",
      `The token with a wrong signature got ${response.status}, not 401. Delete the Worker's route, and find out which ` +
        "server this is.",
    );
  }
}
