import { perConfiguration } from "../configuration.ts";
import { retryAfterMs } from "../http/retry-after.ts";
import { keepNewest } from "../keep-newest.ts";

const SECOND_MS = 1_000;
/** The Cloud Controller rounds the time in Retry-After down to a second. */
const PAUSE_MIN_MS = SECOND_MS;
/** After a 429 without a valid Retry-After. */
const PAUSE_DEFAULT_MS = 10 * SECOND_MS;
/** A longer Retry-After is cut to this. */
const PAUSE_MAX_MS = 5 * 60 * SECOND_MS;
const PAUSED_CALLERS_MAX = 1_000;

/** A pause that the Cloud Controller requires. */
export interface Pause {
  /** The status of the response that requires it. */
  status: number;
  /** ms since the epoch. */
  until: number;
  /** Whether it concerns all callers, or only the one who got the response. */
  isForAll: boolean;
}

/**
 * The pauses that the Cloud Controller requires of look-ups and verifications, as far as this isolate has received them. After a 429
 * it concerns only the caller, because the Cloud Controller limits the rate of each user. After a 503 with Retry-After it concerns all
 * callers. Requests that are passed through never pause.
 */
class OriginPauses {
  #forAll: Pause | undefined;
  readonly #byCaller = new Map<string, Pause>();

  /** The current pause of a caller. */
  of(caller: string): Pause | undefined {
    const now = Date.now();
    return [this.#forAll, this.#byCaller.get(caller)].find((pause) => pause && now < pause.until);
  }

  /** Starts a pause if the response requires one. Returns it, unless the caller's requests pause already. */
  startIfRequired({ status, headers }: Response, caller: string): Pause | undefined {
    const ms = retryAfterMs(headers) ?? (status === 429 ? PAUSE_DEFAULT_MS : undefined);
    if ((status !== 429 && status !== 503) || ms === undefined) return undefined;
    const current = this.of(caller);
    const until = Date.now() + Math.min(Math.max(ms, PAUSE_MIN_MS), PAUSE_MAX_MS);
    const pause = { status, until, isForAll: status === 503 };
    if (pause.isForAll) this.#forAll = pause;
    else keepNewest(this.#byCaller, caller, pause, PAUSED_CALLERS_MAX);
    return current ? undefined : pause;
  }
}

export const originPausesOf = perConfiguration(() => new OriginPauses());
