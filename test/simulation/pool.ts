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
  readonly #present = new Map<string, { at: number; isPresent: boolean }[]>();

  constructor(files: readonly PoolFile[]) {
    this.files = files;
    for (const { sha1 } of files) this.#present.set(sha1, [{ at: -Infinity, isPresent: false }]);
  }

  has(sha1: string): boolean {
    return this.#present.get(sha1)?.at(-1)?.isPresent ?? false;
  }

  find(sha1: string): PoolFile | undefined {
    return this.files.find((file) => file.sha1 === sha1);
  }

  hadAt(sha1: string, time: number): boolean {
    return this.#present.get(sha1)?.findLast(({ at }) => at <= time)?.isPresent ?? false;
  }

  /** @returns false where it was so already */
  change(sha1: string, isPresent: boolean, at: number): boolean {
    if (this.has(sha1) === isPresent) return false;
    this.#present.get(sha1)?.push({ at, isPresent });
    if (!isPresent) this.lostAt = at;
    return true;
  }

  listed(): PoolFile[] {
    return this.files.filter(({ sha1 }) => this.has(sha1));
  }

  /** Whether the pool was in a state at any moment of a time. */
  wasEver(sha1: string, isPresent: boolean, from: number, until: number): boolean {
    const past = this.#present.get(sha1) ?? [{ at: -Infinity, isPresent: false }];
    return past.some(
      (state, index) =>
        state.isPresent === isPresent && state.at <= until && (past[index + 1]?.at ?? Infinity) >= from,
    );
  }
}
