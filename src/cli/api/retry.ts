import { setTimeout as pause } from "node:timers/promises";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { type ApiResponse, errorMessageOf, NoResponse } from "./send.ts";

/** With the seven pauses, a minute of trouble. */
const ATTEMPTS = 8;
/** Of an address that nobody has ever answered at. */
const ATTEMPTS_OF_WRONG_ADDRESS = 2;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** What a server asks for is granted up to this. */
const LONGEST_RETRY_AFTER_MS = 10 * 60_000;

/**
 * An answer with one of the expected statuses, also after a 429, a 5xx or a cut connection: after as long as the server
 * asks for, or longer from attempt to attempt.
 *
 * @param signal no attempt is begun after it is aborted
 * @throws Exit that tells what went wrong
 */
export async function retried(
  attempt: () => Promise<ApiResponse>,
  expected: number,
  signal: AbortSignal,
): Promise<ApiResponse> {
  for (let number = 1; ; number++) {
    const outcome = await attempt().catch((error) => {
      if (error instanceof NoResponse) return error;
      throw error;
    });
    if (!(outcome instanceof NoResponse) && outcome.status === expected) return outcome;
    const complaint = outcome instanceof NoResponse ? reasonOf(outcome) : errorMessageOf(outcome);
    const isPassing = outcome instanceof NoResponse || outcome.status === 429 || outcome.status >= 500;
    if (!isPassing || number === ATTEMPTS) throw new Exit("failed", complaint);
    if (outcome instanceof NoResponse && outcome.isOfWrongAddress && number === ATTEMPTS_OF_WRONG_ADDRESS) {
      throw new Exit("failed", `${complaint}\nNobody has answered there: is the address right?`);
    }
    if (signal.aborted) {
      note(complaint);
      throw new Exit("interrupted");
    }

    const ms = (outcome instanceof NoResponse ? undefined : retryAfterMs(outcome)) ?? growingMs(number);
    note(`${complaint}\nTrying again in ${Math.ceil(ms / 1000)} s.`);
    await pause(ms, undefined, { signal }).catch(() => {
      throw new Exit("interrupted");
    });
  }
}

/** `Retry-After`: seconds, or a date. */
function retryAfterMs({ headers }: ApiResponse): number | undefined {
  const value = headers.get("Retry-After");
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS);
}

function growingMs(attempt: number): number {
  // Not at the same time as everybody else who was cut off.
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
}
