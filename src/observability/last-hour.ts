import { perConfiguration } from "../configuration.ts";

const BUCKET_MS = 60_000;
const BUCKETS = 60;

interface Counts {
  /** Requests that were answered with 201. */
  requests: number;
  /** Resources whose size and mode allow a match. */
  eligible: number;
  /** Resources that were matched. */
  matched: number;
}

/** What an isolate matched in the last 60 minutes: a ring of buckets, a minute each, so that its size is fixed. */
export class LastHour {
  readonly #buckets = Array.from({ length: BUCKETS }, () => emptyBucket(-1));

  /** @param now ms since the epoch */
  count(eligible: number, matched: number, now: number): void {
    const minute = Math.floor(now / BUCKET_MS);
    const index = minute % BUCKETS;
    let bucket = this.#buckets[index];
    if (bucket?.minute !== minute) {
      bucket = emptyBucket(minute);
      this.#buckets[index] = bucket;
    }
    bucket.requests += 1;
    bucket.eligible += eligible;
    bucket.matched += matched;
  }

  /** @param now ms since the epoch */
  sum(now: number): Counts {
    const oldest = Math.floor(now / BUCKET_MS) - BUCKETS + 1;
    const recent = this.#buckets.filter(({ minute }) => minute >= oldest);
    const sumOf = (name: keyof Counts) => recent.reduce((sum, bucket) => sum + bucket[name], 0);
    return { requests: sumOf("requests"), eligible: sumOf("eligible"), matched: sumOf("matched") };
  }
}

const emptyBucket = (minute: number) => ({ minute, requests: 0, eligible: 0, matched: 0 });

export const lastHourOf = perConfiguration(() => new LastHour());
