/** The parameters of the catalog's `observe`. */
export interface Observations {
  asOf: number;
  present?: readonly string[];
  removed?: readonly string[];
  sizes: "verified" | "client-reported";
}

/** The entry that the catalog must have for one SHA-1. */
interface Entry {
  isPresent: boolean;
  size: number | undefined;
  isSizeVerified: boolean;
  observedAt: number;
  /** When the catalog stored the first observation that made the entry what it is. */
  since: number;
}

/** Why a file must not be matched for long. */
export interface MatchObjection {
  /** Ms since the epoch; -Infinity if the file was never reported. */
  reportedAt: number;
  isRemoval: boolean;
}

/** The result of `observe`: entries that changed, and observations that were refused. */
export interface ObservationCounts {
  changed: number;
  tooOld: number;
  conflictingSize: number;
}

const OBSERVATION_MAX_AGE_MS = 86_400_000;

/**
 * The model of the catalog: the observations in the order in which they were stored. The later observation wins; at the
 * same time, the removal. A file that is observed again keeps the time of its entry. A client-reported size does not
 * replace a verified one.
 */
export class ReportedPool {
  readonly #entries = new Map<string, Entry>();
  readonly #confirmedRemovals = new Map<string, { asOf: number; reportedAt: number }[]>();
  readonly #presences = new Map<string, { asOf: number; storedAt: number }[]>();
  /** The time of the latest observation of each SHA-1. */
  readonly #latest = new Map<string, number>();
  /** Older observations of present files are refused. */
  #forgottenAt = -Infinity;
  /** When the catalog lost its entries the last time. */
  #emptiedAt = -Infinity;

  /** @returns what `observe` must return */
  store({ asOf, present = [], removed = [], sizes }: Observations, now: number): ObservationCounts {
    const counts = { changed: 0, tooOld: 0, conflictingSize: 0 };
    const observedAt = Math.min(asOf, now);
    for (const sha1 of [...removed, ...present.map((key) => key.slice(0, 40))]) {
      this.#latest.set(sha1, Math.max(observedAt, this.#latest.get(sha1) ?? -Infinity));
    }
    for (const sha1 of removed) {
      const entry = this.#entries.get(sha1);
      if (entry && observedAt < entry.observedAt) continue;
      if (entry?.isPresent) counts.changed += 1;
      const since = entry && !entry.isPresent ? entry.since : now;
      const { size, isSizeVerified = false } = entry ?? {};
      this.#entries.set(sha1, { isPresent: false, size, isSizeVerified, observedAt, since });
    }
    if (observedAt <= now - OBSERVATION_MAX_AGE_MS || observedAt <= this.#forgottenAt) {
      return { ...counts, tooOld: present.length };
    }
    for (const key of present) {
      const result = this.#storePresent(key, observedAt, sizes === "verified", now);
      if (result) counts[result] += 1;
    }
    return counts;
  }

  #storePresent(
    key: string,
    observedAt: number,
    isSizeVerified: boolean,
    now: number,
  ): "changed" | "conflictingSize" | undefined {
    const [sha1 = "", digits] = key.split(":");
    const size = Number(digits);
    append(this.#presences, sha1, { asOf: observedAt, storedAt: now });
    const entry = this.#entries.get(sha1);
    if (!entry) {
      this.#entries.set(sha1, { isPresent: true, size, isSizeVerified, observedAt, since: now });
      return "changed";
    }
    if (entry.isSizeVerified && !isSizeVerified && size !== entry.size) return "conflictingSize";
    const isCorrection = entry.isPresent && isSizeVerified && !entry.isSizeVerified;
    if (observedAt <= entry.observedAt && !isCorrection) return undefined;
    const verified = isSizeVerified || entry.isSizeVerified;
    if (entry.isPresent && size === entry.size) {
      this.#entries.set(sha1, { ...entry, isSizeVerified: verified });
      return undefined;
    }
    this.#entries.set(sha1, {
      isPresent: true,
      size,
      isSizeVerified: verified,
      observedAt: Math.max(observedAt, entry.observedAt),
      since: now,
    });
    return "changed";
  }

  /** Whether an observation of that time or later was stored. */
  hasObservationSince(sha1: string, time: number): boolean {
    return (this.#latest.get(sha1) ?? -Infinity) >= time;
  }

  /** The caller has the response to its report of removals: from now on the time limit for stale matches runs. */
  confirmRemovals({ asOf, removed = [] }: Observations, now: number): void {
    for (const sha1 of removed) {
      append(this.#confirmedRemovals, sha1, { asOf: Math.min(asOf, now), reportedAt: now });
    }
  }

  /** All entries are deleted, and older observations are refused. */
  forget(now: number): void {
    this.#forgottenAt = now;
    this.#emptiedAt = now;
    this.#entries.clear();
  }

  /** All entries of present files are deleted; removals are kept. */
  empty(now: number): void {
    this.#emptiedAt = now;
    for (const [sha1, { isPresent }] of this.#entries) if (isPresent) this.#entries.delete(sha1);
  }

  /** `<sha1>:<size>` of each present resource, sorted. */
  present(): string[] {
    return [...this.#entries]
      .filter(([, { isPresent }]) => isPresent)
      .map(([sha1, { size }]) => `${sha1}:${size}`)
      .sort();
  }

  /** Since when the catalog has exactly this resource; undefined if it does not. */
  presentSince(key: string): number | undefined {
    const [sha1 = "", size] = key.split(":");
    const entry = this.#entries.get(sha1);
    return entry?.isPresent && entry.size === Number(size) ? entry.since : undefined;
  }

  /**
   * The reasons why a file must not be matched: removals after which it was not observed again, an emptied catalog, or
   * that the file was never reported.
   */
  objectionsToMatch(sha1: string): MatchObjection[] {
    const presences = this.#presences.get(sha1) ?? [];
    if (presences.length === 0) return [{ reportedAt: -Infinity, isRemoval: false }];
    const objections = (this.#confirmedRemovals.get(sha1) ?? [])
      .filter((removal) => !presences.some(({ asOf }) => asOf > removal.asOf))
      .map(({ reportedAt }) => ({ reportedAt, isRemoval: true }));
    const isForgotten = !presences.some(({ storedAt }) => storedAt >= this.#emptiedAt);
    return isForgotten ? [...objections, { reportedAt: this.#emptiedAt, isRemoval: false }] : objections;
  }
}

function append<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  if (list) list.push(item);
  else lists.set(name, [item]);
}
