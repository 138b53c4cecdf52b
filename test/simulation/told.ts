/** What somebody tells the catalog: the parameters of its `observe`. */
export interface Observations {
  asOf: number;
  present?: readonly string[];
  removed?: readonly string[];
  sizes: "verified" | "client-reported";
}

/** What is known of one SHA-1. */
interface Known {
  isPresent: boolean;
  size: number | undefined;
  isMeasured: boolean;
  asOf: number;
  /** Since when the catalog has held just this, in landing order. */
  since: number;
}

interface Removal {
  asOf: number;
  toldAt: number;
}

/** Why a file is not to be matched for long. */
export interface Objection {
  /** Ms since the epoch; -Infinity where the file was never reported. */
  toldAt: number;
  isRemoval: boolean;
}

interface Holding {
  size: number;
  asOf: number;
  landedAt: number;
}

/** How many resources are held since, or no longer, and how many were refused. */
export interface Effect {
  changed: number;
  tooOld: number;
  madeUp: number;
}

const BELIEVED_MS = 86_400_000;

/**
 * What was told, in the order in which it landed: the model of what the catalog is to know. Later observations win by
 * their time; at the same time "removed" does. A size that was measured stands against one that was said.
 */
export class Told {
  readonly #known = new Map<string, Known>();
  readonly #removals = new Map<string, Removal[]>();
  readonly #holdings = new Map<string, Holding[]>();
  /** The latest time of which anything has landed. */
  readonly #latest = new Map<string, number>();
  /** Everything was forgotten: nothing that was seen before counts. */
  forgottenAt = -Infinity;
  /** The catalog was emptied: nothing is held of what landed before. */
  emptiedAt = -Infinity;

  /** An observation has become durable. @returns what the catalog is to have made of it */
  landed({ asOf, present = [], removed = [], sizes }: Observations, now: number): Effect {
    const effect = { changed: 0, tooOld: 0, madeUp: 0 };
    const seenAt = Math.min(asOf, now);
    for (const sha1 of [...removed, ...present.map((key) => key.slice(0, 40))]) {
      this.#latest.set(sha1, Math.max(seenAt, this.#latest.get(sha1) ?? -Infinity));
    }
    for (const sha1 of removed) {
      const known = this.#known.get(sha1);
      if (known && seenAt < known.asOf) continue;
      if (known?.isPresent) effect.changed += 1;
      const since = known && !known.isPresent ? known.since : now;
      const { size, isMeasured = false } = known ?? {};
      this.#known.set(sha1, { isPresent: false, size, isMeasured, asOf: seenAt, since });
    }
    if (seenAt <= now - BELIEVED_MS || seenAt <= this.forgottenAt) {
      return { ...effect, tooOld: present.length };
    }
    for (const key of present) {
      const outcome = this.#landedHeld(key, seenAt, sizes === "verified", now);
      if (outcome) effect[outcome] += 1;
    }
    return effect;
  }

  #landedHeld(key: string, asOf: number, isMeasured: boolean, now: number): "changed" | "madeUp" | undefined {
    const [sha1 = "", digits] = key.split(":");
    const size = Number(digits);
    push(this.#holdings, sha1, { size, asOf, landedAt: now });
    const known = this.#known.get(sha1);
    if (!known) {
      this.#known.set(sha1, { isPresent: true, size, isMeasured, asOf, since: now });
      return "changed";
    }
    if (known.isMeasured && !isMeasured && size !== known.size) return "madeUp";
    const corrects = known.isPresent && isMeasured && !known.isMeasured;
    if (asOf <= known.asOf && !corrects) return undefined;
    const isSame = known.isPresent && size === known.size;
    const since = isSame ? known.since : now;
    this.#known.set(sha1, {
      isPresent: true,
      size,
      isMeasured: isMeasured || known.isMeasured,
      asOf: Math.max(asOf, known.asOf),
      since,
    });
    return isSame ? undefined : "changed";
  }

  /** Whether anything of a time or later has landed. */
  knowsAsOf(sha1: string, time: number): boolean {
    return (this.#latest.get(sha1) ?? -Infinity) >= time;
  }

  /** Somebody has heard that the catalog has taken down what was removed. */
  heard({ asOf, removed = [] }: Observations, now: number): void {
    for (const sha1 of removed) push(this.#removals, sha1, { asOf: Math.min(asOf, now), toldAt: now });
  }

  /** Everything is forgotten, and nothing of before is believed any more. */
  forget(now: number): void {
    this.forgottenAt = now;
    this.emptiedAt = now;
    this.#known.clear();
  }

  /** Nothing is held any more; what was removed is remembered. */
  empty(now: number): void {
    this.emptiedAt = now;
    for (const [sha1, { isPresent }] of this.#known) if (isPresent) this.#known.delete(sha1);
  }

  /** `<sha1>:<size>` of all that is held. */
  present(): string[] {
    return [...this.#known]
      .filter(([, { isPresent }]) => isPresent)
      .map(([sha1, { size }]) => `${sha1}:${size}`)
      .sort();
  }

  /** Since when the catalog has held exactly this resource; undefined where it does not. */
  heldSince(key: string): number | undefined {
    const [sha1 = "", size] = key.split(":");
    const known = this.#known.get(sha1);
    return known?.isPresent && known.size === Number(size) ? known.since : undefined;
  }

  /**
   * What forbids a match at the moment: removals, of which nobody has reported since, of a later time, that the file is
   * there; that everything was forgotten; or that nobody ever reported the file.
   */
  objections(sha1: string): Objection[] {
    const holdings = this.#holdings.get(sha1) ?? [];
    if (holdings.length === 0) return [{ toldAt: -Infinity, isRemoval: false }];
    const objections = (this.#removals.get(sha1) ?? [])
      .filter(({ asOf }) => !holdings.some((holding) => holding.asOf > asOf))
      .map(({ toldAt }) => ({ toldAt, isRemoval: true }));
    const isForgotten = !holdings.some(({ landedAt }) => landedAt >= this.emptiedAt);
    return isForgotten ? [...objections, { toldAt: this.emptiedAt, isRemoval: false }] : objections;
  }
}

function push<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  if (list) list.push(item);
  else lists.set(name, [item]);
}
