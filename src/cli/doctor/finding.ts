import type { CacheCheck } from "../../operator-api/responses.ts";
import { describeError, summarizeError } from "../api/describe-error.ts";
import { LOAD_BALANCER_RULE } from "../api/responder.ts";
import { type ApiResponse, NoResponse } from "../api/send.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";

/** Checks from outside, in addition to the Worker's own. */
export const CHECKS = [
  "token",
  "scopes",
  "worker",
  "clock",
  "uaa keys",
  "route",
  "trace id",
  "read-through",
  "edge",
  "other requests",
  "upload limit",
  "cloud controller",
  "api version",
  "size limits",
  "minimum size",
  "maximum size",
  "file modes",
  "feature flags",
  "the rest",
] as const;
type CheckName = (typeof CHECKS)[number] | CacheCheck["name"];

export interface Finding {
  /** `FAIL`: a problem. `warn`: a possible problem, or the check could not be made. */
  level: "ok" | "warn" | "FAIL";
  name: CheckName;
  /** What was found, and what to do. */
  text: string;
}

const findingOf =
  (level: Finding["level"]) =>
  (name: CheckName, text: string): Finding => ({ level, name, text });
export const ok = findingOf("ok");
export const warn = findingOf("warn");
export const fail = findingOf("FAIL");

/** Makes a finding of an error that ends the checks. Returns their result, or undefined after an error. */
export async function* catchErrors<T>(
  name: CheckName,
  findings: AsyncGenerator<Finding, T>,
): AsyncGenerator<Finding, T | undefined> {
  try {
    return yield* findings;
  } catch (error) {
    if (!(error instanceof NoResponse || error instanceof Exit)) throw error;
    yield fail(name, asSentences(reasonOf(error)));
    return undefined;
  }
}

/** An unexpected response in complete sentences on one line, without advice. */
export function errorSentences(response: ApiResponse): string {
  return asSentences(summarizeError(response));
}

/** Like `errorSentences`, with advice. */
export function errorAdvice(response: ApiResponse): string {
  return asSentences(describeError(response));
}

export function isRefusal({ status }: ApiResponse): boolean {
  return status === 401 || status === 403;
}

const LOOP_ADVICE =
  "Set CLOUD_CONTROLLER_URL to an address that leads to the Cloud Controller, and to no Worker of this project. " +
  LOAD_BALANCER_RULE;

/** @param consequence of the loop */
export function loopError(response: ApiResponse, consequence: string): string {
  return `${errorSentences(response)} This is a loop: ${consequence}. ${LOOP_ADVICE}`;
}

/** @param server whose log has the reason */
export function outageAdvice({ status }: ApiResponse, server: "Worker" | "Cloud Controller"): string {
  return status === 429
    ? "There were too many requests: try again in a minute."
    : `Try again in a minute. If it stays so, see the ${server}'s log.`;
}

function asSentences(lines: string): string {
  return lines.replaceAll(/([^.?!…])(\n|$)/g, "$1.$2").replaceAll("\n", " ");
}
