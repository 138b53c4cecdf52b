import { setTimeout as pause } from "node:timers/promises";
import { formatCount, formatDuration } from "../../format.ts";
import { retryAfterMs } from "../../http/retry-after.ts";
import { Exit } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { describeError } from "./describe-error.ts";
import { type ApiResponse, isOutage, NoResponse } from "./send.ts";

const ATTEMPTS = 8;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** No attempt begins later, so that a call takes about a minute in all. At least one retry is made. */
const LAST_ATTEMPT_MS = 50_000;
/** All pauses of a call that `Retry-After` asks for. They do not count otherwise. */
const LONGEST_RETRY_AFTER_MS = 10 * 60_000;

/**
 * Sends a request until the response is as expected. Retries after a 429, a 5xx or a lost connection: after
 * `Retry-After`, otherwise with exponential backoff. Prints each message once, until another one follows.
 *
 * @param signal stops further attempts
 * @param describe describes an unexpected response
 * @throws Exit for any other response, and after the last attempt
 */
export async function retry(
  attempt: () => Promise<ApiResponse>,
  isExpected: (response: ApiResponse) => boolean,
  signal: AbortSignal,
  describe = describeError,
): Promise<ApiResponse> {
  const startedAt = performance.now();
  let waitedMs = 0;
  let printed: string | undefined;
  for (let number = 1; ; number++) {
    const outcome = await attempt().catch((error) => {
      if (error instanceof NoResponse) return error;
      throw error;
    });
    const response = outcome instanceof NoResponse ? undefined : outcome;
    if (response && isExpected(response)) return response;

    const message = outcome instanceof NoResponse ? outcome.message : describe(outcome);
    const isTransient = outcome instanceof NoResponse ? !outcome.isPermanent : isOutage(outcome);
    if (!isTransient) throw new Exit("failed", message);
    if (signal.aborted) {
      note(message);
      throw new Exit("interrupted");
    }

    const retryAfter = response && retryAfterMs(response.headers);
    waitedMs += retryAfter ?? 0;
    if (retryAfter !== undefined && waitedMs > LONGEST_RETRY_AFTER_MS) {
      const time = formatDuration(retryAfter);
      throw new Exit(
        "failed",
        `${message}\nThe server asks to wait for ${time}. Run the command again after that.`,
      );
    }
    const pauseMs = retryAfter ?? backoffMs(number);
    const nextMs = performance.now() - startedAt - waitedMs + pauseMs;
    const isLate = retryAfter === undefined && number > 1 && nextMs > LAST_ATTEMPT_MS;
    if (isLate || number === ATTEMPTS) {
      throw new Exit("failed", `${message}\nGave up after ${formatCount(number, "attempt")}.`);
    }
    const retrying = `Retrying in ${Math.ceil(pauseMs / 1000)} s.`;
    note(message === printed ? retrying : `${message}\n${retrying}`);
    printed = message;
    await pause(pauseMs, undefined, { signal }).catch(() => {
      throw new Exit("interrupted");
    });
  }
}

/** Doubles with each attempt, with a jitter of 25 %. */
function backoffMs(attempt: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
}
