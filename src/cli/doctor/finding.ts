import type { CacheCheck } from "../../operator-api/responses.ts";
import { type ApiResponse, errorMessageOf, NoResponse } from "../api/send.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";

/** What is checked from outside, beside the Worker's own checks. */
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
  "cloud controller",
  "size limits",
  "minimum size",
  "maximum size",
  "file modes",
  "feature flags",
  "the rest",
] as const;
type CheckName = (typeof CHECKS)[number] | CacheCheck["name"];

/** What a check has found, and where that is not well, what to do. */
export interface Finding {
  /** `FAIL` where something is wrong; `warn` where it may be, or could not be found out. */
  level: "ok" | "warn" | "FAIL";
  /** What was checked. */
  name: CheckName;
  /** Shown as one line, whatever a server has said in it. */
  text: string;
}

const finding =
  (level: Finding["level"]) =>
  (name: CheckName, text: string): Finding => ({ level, name, text });
export const [ok, warn, fail] = [finding("ok"), finding("warn"), finding("FAIL")];

/** What a check finds, also where nobody answers it. @returns what it returns, undefined where it came to no end */
export async function* orErrorMessage<T>(
  name: CheckName,
  findings: AsyncGenerator<Finding, T>,
): AsyncGenerator<Finding, T | undefined> {
  try {
    return yield* findings;
  } catch (error) {
    if (!(error instanceof NoResponse || error instanceof Exit)) throw error;
    yield fail(name, inSentences(reasonOf(error)));
    return undefined;
  }
}

/** What an answer that is not the expected one says, with advice: in sentences, that another may follow. */
export function errorSentences(answer: ApiResponse): string {
  return inSentences(errorMessageOf(answer));
}

/** An answer that says how somebody is, and not who it is. */
export function isOutage({ status }: ApiResponse): boolean {
  return status === 429 || status >= 500;
}

export function isRefusal({ status }: ApiResponse): boolean {
  return status === 401 || status === 403;
}

/** @param log that tells more of it: whose it is */
export function outageAdvice({ status }: ApiResponse, log: "Worker" | "Cloud Controller"): string {
  return status === 429
    ? "It was asked too often: try again in a minute."
    : `Try again in a minute; if it stays so, the ${log}'s log tells why.`;
}

function inSentences(lines: string): string {
  return lines.replaceAll(/([^.?!])(\n|$)/g, "$1.$2").replaceAll("\n", " ");
}
