import type { CatalogState } from "./catalog-state.ts";

/** What the Cloud Controller said when it was asked whether what the cache claimed is true. */
export interface Rejections {
  /** ms since the epoch, Cloudflare's clock: the moment before it was asked. */
  asOf: number;
  /** Claims that it has answered. */
  verified: number;
  /** SHA-1s in lower-case hex of those that it does not match. */
  rejected: readonly string[];
}

/** So many of the claims being denied, the pool is another than the catalog knows … */
const REJECTED_SHARE = 0.3;
/** … where so many have been asked, within the time of a suspension. */
const VERIFIED_MIN = 10;
const SUSPENDED_MS = 10 * 60 * 1000;

/** Keeps a pool that was wiped, pruned or restored from breaking pushes: only the Cloud Controller answers for a while. */
export class Suspension {
  readonly #memory: CatalogState;

  constructor(memory: CatalogState) {
    this.#memory = memory;
  }

  /** When the cache counts again, in ms since the epoch; undefined where it does. */
  until(now: number): number | undefined {
    const until = this.#memory.get("suspension")?.until ?? 0;
    return now < until ? until : undefined;
  }

  /**
   * Takes a report down.
   *
   * @returns whether the cache is suspended by it, and whether the denials are to be believed: a Cloud Controller whose
   * own matching is off denies everything, and must not erase the catalog, until it has matched something
   */
  judge({ verified, rejected }: Rejections, now: number): { isSuspending: boolean; isBelieved: boolean } {
    const hasMatched = verified > rejected.length;
    const suspension = this.#memory.get("suspension");
    if (suspension && now < suspension.until) {
      if (hasMatched) this.matched(now);
      return { isSuspending: false, isBelieved: hasMatched || suspension.hasMatched };
    }
    const before = this.#memory.get("rejections");
    const window = now - before.since < SUSPENDED_MS ? before : { since: now, verified: 0, rejected: 0 };
    const sum = {
      since: window.since,
      verified: window.verified + verified,
      rejected: window.rejected + rejected.length,
    };
    const isSuspending = sum.verified >= VERIFIED_MIN && sum.rejected >= REJECTED_SHARE * sum.verified;
    this.#memory.set({ rejections: isSuspending ? { since: now, verified: 0, rejected: 0 } : sum });
    if (isSuspending) this.#memory.set({ suspension: { from: now, until: now + SUSPENDED_MS, hasMatched } });
    return { isSuspending, isBelieved: hasMatched || !isSuspending };
  }

  /** The Cloud Controller has matched something, as of `asOf`: its own matching is on. */
  matched(asOf: number): void {
    const suspension = this.#memory.get("suspension");
    if (suspension && !suspension.hasMatched && asOf >= suspension.from) {
      this.#memory.set({ suspension: { ...suspension, hasMatched: true } });
    }
  }

  /** @returns whether a suspension has come to its end since this was asked last */
  hasEnded(now: number): boolean {
    const suspension = this.#memory.get("suspension");
    if (!suspension || now < suspension.until) return false;
    this.#memory.set({ suspension: null });
    return true;
  }

  /** When the suspension ends, in ms since the epoch. */
  endsAt(): number {
    return this.#memory.get("suspension")?.until ?? Number.POSITIVE_INFINITY;
  }
}
