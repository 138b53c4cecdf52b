/** A file of an app, as the resource pool knows it. */
export interface PoolFile {
  sha1: string;
  size: number;
}

/** The true resource pool, with all of its past: what the Cloud Controller, R2 and listings look at. */
export class TruePool {
  readonly files: readonly PoolFile[];
  /** When it lost a file last, in ms since the epoch. */
  lostAt = -Infinity;
  readonly #held = new Map<string, { at: number; isHeld: boolean }[]>();

  constructor(files: readonly PoolFile[]) {
    this.files = files;
    for (const { sha1 } of files) this.#held.set(sha1, [{ at: -Infinity, isHeld: false }]);
  }

  has(sha1: string): boolean {
    return this.#held.get(sha1)?.at(-1)?.isHeld ?? false;
  }

  find(sha1: string): PoolFile | undefined {
    return this.files.find((file) => file.sha1 === sha1);
  }

  hadAt(sha1: string, time: number): boolean {
    return this.#held.get(sha1)?.findLast(({ at }) => at <= time)?.isHeld ?? false;
  }

  /** @returns false where it was so already */
  change(sha1: string, isHeld: boolean, at: number): boolean {
    if (this.has(sha1) === isHeld) return false;
    this.#held.get(sha1)?.push({ at, isHeld });
    if (!isHeld) this.lostAt = at;
    return true;
  }

  listed(): PoolFile[] {
    return this.files.filter(({ sha1 }) => this.has(sha1));
  }

  /** Whether the pool was in a state at any moment of a time. */
  wasEver(sha1: string, isHeld: boolean, from: number, until: number): boolean {
    const past = this.#held.get(sha1) ?? [{ at: -Infinity, isHeld: false }];
    return past.some(
      (state, index) =>
        state.isHeld === isHeld && state.at <= until && (past[index + 1]?.at ?? Infinity) >= from,
    );
  }
}
