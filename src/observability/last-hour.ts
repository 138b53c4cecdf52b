import { perConfiguration } from "../configuration.ts";

const MINUTE_MS = 60_000;
const MINUTES = 60;

interface Counts {
  /** Requests that got a 201. */
  requests: number;
  /** Resources whose size and mode allow a match. */
  eligible: number;
  /** Resources that were matched: by the cache, the Cloud Controller, or an earlier request of the push. */
  matched: number;
  /** Those of them that the cache had. */
  matched_by_cache: number;
  /** Requests to which the Cloud Controller responded because the Worker failed, other than with 401. */
  failed_open: number;
}

/** What an isolate matched in the last 60 minutes. */
export class LastHour {
  #byMinute: (Counts & { minute: number })[] = [];

  /** @param now ms since the epoch */
  count(request: Pick<Counts, "eligible" | "matched" | "matched_by_cache">, now: number): void {
    const counts = this.#countsAt(now);
    counts.requests += 1;
    counts.eligible += request.eligible;
    counts.matched += request.matched;
    counts.matched_by_cache += request.matched_by_cache;
  }

  /** @param now ms since the epoch */
  countFailedOpen(now: number): void {
    this.#countsAt(now).failed_open += 1;
  }

  #countsAt(now: number): Counts {
    const minute = Math.floor(now / MINUTE_MS);
    let counts = this.#byMinute.at(-1);
    if (counts?.minute !== minute) {
      counts = { minute, requests: 0, eligible: 0, matched: 0, matched_by_cache: 0, failed_open: 0 };
      this.#byMinute = [...this.#byMinute, counts].slice(-MINUTES);
    }
    return counts;
  }

  /** @param now ms since the epoch */
  sum(now: number): Counts {
    const oldest = Math.floor(now / MINUTE_MS) - MINUTES + 1;
    const recent = this.#byMinute.filter(({ minute }) => minute >= oldest);
    const sumOf = (name: keyof Counts) => recent.reduce((sum, counts) => sum + counts[name], 0);
    return {
      requests: sumOf("requests"),
      eligible: sumOf("eligible"),
      matched: sumOf("matched"),
      matched_by_cache: sumOf("matched_by_cache"),
      failed_open: sumOf("failed_open"),
    };
  }
}

export const lastHourOf = perConfiguration(() => new LastHour());
