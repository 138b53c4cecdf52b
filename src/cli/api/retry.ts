import { setTimeout as pause } from "node:timers/promises";
import { retryAfterMs } from "../../http/retry-after.ts";
import { Exit } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { describeError } from "./describe-error.ts";
import { type ApiResponse, isOutage, NoResponse } from "./send.ts";

/** With seven pauses, about a minute. */
const ATTEMPTS = 8;
const ATTEMPTS_AT_WRONG_ADDRESS = 2;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** A longer `Retry-After` is cut to this. */
const LONGEST_RETRY_AFTER_MS = 10 * 60_000;

/**
 * Sends a request until the response is as expected. Retries after a 429, a 5xx or a lost connection: after
 * `Retry-After`, otherwise with exponential backoff.
 *
 * @param signal stops further attempts
 * @throws Exit for any other response, and after the last attempt
 */
export async function retry(
  attempt: () => Promise<ApiResponse>,
  isExpected: (response: ApiResponse) => boolean,
  signal: AbortSignal,
): Promise<ApiResponse> {
  for (let number = 1; ; number++) {
    const outcome = await attempt().catch((error) => {
      if (error instanceof NoResponse) return error;
      throw error;
    });
    const response = outcome instanceof NoResponse ? undefined : outcome;
    if (response && isExpected(response)) return response;

    const message = outcome instanceof NoResponse ? outcome.message : describeError(outcome);
    const isTransient = !response || isOutage(response);
    if (!isTransient || number === ATTEMPTS) throw new Exit("failed", message);
    const isWrongAddress = outcome instanceof NoResponse && outcome.isWrongAddress;
    if (isWrongAddress && number === ATTEMPTS_AT_WRONG_ADDRESS) {
      throw new Exit("failed", `${message}\nThis address has never responded. Is it right?`);
    }
    if (signal.aborted) {
      note(message);
      throw new Exit("interrupted");
    }

    const retryAfter = response && retryAfterMs(response.headers);
    const ms = retryAfter === undefined ? backoffMs(number) : Math.min(retryAfter, LONGEST_RETRY_AFTER_MS);
    note(`${message}\nRetrying in ${Math.ceil(ms / 1000)} s.`);
    await pause(ms, undefined, { signal }).catch(() => {
      throw new Exit("interrupted");
    });
  }
}

/** Doubles with each attempt, with a jitter of 25 %. */
function backoffMs(attempt: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
}
