import type { Configuration } from "../configuration.ts";

const BUCKET_MS = 60_000;
const BUCKETS = 60;

/** What was answered within some time. */
export interface Answered {
  requests: number;
  /** Resources that could match by their size and mode … */
  eligible: number;
  /** … and those that were listed. */
  matched: number;
}

/** What an isolate has answered in its last hour, in a ring of minutes: of memory, for ever the same. */
export class LastHour {
  readonly #minutes = Array.from({ length: BUCKETS }, () => ({ minute: -1, ...nothing() }));

  /** @param now ms since the epoch */
  count(eligible: number, matched: number, now: number): void {
    const minute = Math.floor(now / BUCKET_MS);
    const place = minute % BUCKETS;
    let bucket = this.#minutes[place];
    if (bucket?.minute !== minute) {
      bucket = { minute, ...nothing() };
      this.#minutes[place] = bucket;
    }
    bucket.requests += 1;
    bucket.eligible += eligible;
    bucket.matched += matched;
  }

  /** @param now ms since the epoch */
  sum(now: number): Answered {
    const oldest = Math.floor(now / BUCKET_MS) - BUCKETS + 1;
    const sum = nothing();
    for (const { minute, requests, eligible, matched } of this.#minutes) {
      if (minute < oldest) continue;
      sum.requests += requests;
      sum.eligible += eligible;
      sum.matched += matched;
    }
    return sum;
  }
}

const nothing = (): Answered => ({ requests: 0, eligible: 0, matched: 0 });

/** They live as long as the configuration that they belong to: as the env object, the isolate. */
const hours = new WeakMap<Configuration, LastHour>();

export function lastHourOf(configuration: Configuration): LastHour {
  let hour = hours.get(configuration);
  if (!hour) {
    hour = new LastHour();
    hours.set(configuration, hour);
  }
  return hour;
}
