import { formatDuration } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResponse, jsonOf, send } from "../api/send.ts";
import { errorSentences, type Finding, fail, isOutage, ok, outageAdvice, warn } from "./finding.ts";
import { claimsOf, lifetimeFinding } from "./token.ts";

export const CACHE = "/v3/resource_matches/cache";
const CLOCK_MS = 60_000;
const SIGNATURE_BYTES = 256;

/** What came of asking for the status. */
export interface AskedStatus {
  answer: ApiResponse;
  /** Undefined where it is none. */
  status: CacheStatus | undefined;
  /** By which this machine's clock is ahead of the Worker's, in ms, beyond what the answer took. */
  aheadMs: number;
}

/** @throws NoAnswer */
export async function askStatus(endpoint: Endpoint): Promise<AskedStatus> {
  const before = Date.now();
  const answer = await send(endpoint, { method: "GET", path: CACHE });
  const after = Date.now();
  const status = answer.status === 200 ? statusOf(answer) : undefined;
  const told = status ? Date.parse(status.time) : before;
  return { answer, status, aheadMs: told < before ? before - told : Math.min(0, after - told) };
}

function statusOf(answer: ApiResponse): CacheStatus | undefined {
  const status = jsonOf(answer) as CacheStatus | null | undefined;
  const isOne = status?.configuration && Array.isArray(status.checks) && Date.parse(status.time) > 0;
  return isOne ? status : undefined;
}

/** Whether the Worker answers on the operator's path. */
export function workerFinding({ answer, status }: AskedStatus, token: string): Finding {
  if (status) return ok("worker", `Version ${status.version} answers at ${answer.target}.`);
  const complaint = errorSentences(answer);
  switch (answer.status) {
    case 200:
      return fail(
        "worker",
        `${answer.target} answered 200, but not as this version's Worker does: deploy the version of this command.`,
      );
    case 401:
      return fail("worker", `${complaint}${issuerAdvice(token)}`);
    case 405:
      return fail("worker", `${complaint} There is no Worker: does its route end with a star?`);
    default:
      return fail("worker", isOutage(answer) ? `${complaint} ${statusOutageAdvice(answer)}` : complaint);
  }
}

/** Nothing where the token itself is not what it should be. */
function issuerAdvice(token: string): string {
  const claims = claimsOf(token);
  if (!claims || lifetimeFinding(claims, Date.now()).level === "FAIL") return "";
  const { iss, aud } = claims;
  return (
    ` If it is not that: UAA_ISSUER must be ${JSON.stringify(iss ?? null)}, as the token says it, UAA_AUDIENCE one of ` +
    `${JSON.stringify(aud ?? null)}, and UAA_URL the UAA whose keys sign it. The log tells the reason (\`refused\`).`
  );
}

/** The Worker's own 500 and 503 tell more than another's. */
function statusOutageAdvice(answer: ApiResponse): string {
  if (answer.status === 500 && answer.body.includes("UnknownError")) {
    return "A variable is wrong, most likely: `npx wrangler tail` shows `misconfigured`, and which.";
  }
  if (answer.status === 503 && answer.body.includes("UAA")) {
    return "The Worker has never got UAA's keys: is <UAA_URL>/token_keys to be reached from the internet, with a trusted certificate?";
  }
  return outageAdvice(answer, "Worker");
}

export function clockFinding(aheadMs: number): Finding {
  const apart = formatDuration(aheadMs);
  if (Math.abs(aheadMs) <= CLOCK_MS) return ok("clock", `This machine's is within ${apart} of the Worker's.`);
  return warn(
    "clock",
    `This machine's is ${apart} ${aheadMs > 0 ? "ahead of" : "behind"} the Worker's: set it right. \`import\` tells by it ` +
      "how old a list is.",
  );
}

/** Whether the Worker asks UAA's keys: of the token that it has just taken, with another signature. */
export async function* keysFindings(endpoint: Endpoint): AsyncGenerator<Finding> {
  const signature = Buffer.from(crypto.getRandomValues(new Uint8Array(SIGNATURE_BYTES))).toString(
    "base64url",
  );
  const token = endpoint.token.replace(/[^.]*$/, signature);
  const answer = await send({ ...endpoint, token }, { method: "GET", path: CACHE });
  if (answer.status === 401) {
    yield ok("uaa keys", "They verify this token, and refuse it with a made-up signature.");
  } else if (isOutage(answer)) {
    yield warn(
      "uaa keys",
      `It was not found out whether a made-up signature is refused: ${errorSentences(answer)} ${outageAdvice(answer, "Worker")}`,
    );
  } else {
    yield fail(
      "uaa keys",
      `The token with a made-up signature is answered ${answer.status}, not 401: take the Worker off its route, and find out who answers.`,
    );
  }
}
