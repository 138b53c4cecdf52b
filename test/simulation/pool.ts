/** A file in the resource pool. */
export interface PoolFile {
  sha1: string;
  size: number;
}

/** The true resource pool with its history, which the Cloud Controller, R2 and listings read. */
export class TruePool {
  readonly files: readonly PoolFile[];
  /** When it last lost a file, in ms since the epoch. */
  lostAt = -Infinity;
  readonly #history = new Map<string, { at: number; isPresent: boolean }[]>();

  constructor(files: readonly PoolFile[]) {
    this.files = files;
    for (const { sha1 } of files) this.#history.set(sha1, [{ at: -Infinity, isPresent: false }]);
  }

  has(sha1: string): boolean {
    return this.#history.get(sha1)?.at(-1)?.isPresent ?? false;
  }

  find(sha1: string): PoolFile | undefined {
    return this.files.find((file) => file.sha1 === sha1);
  }

  hadAt(sha1: string, time: number): boolean {
    return this.#history.get(sha1)?.findLast(({ at }) => at <= time)?.isPresent ?? false;
  }

  /** @returns whether that changed anything */
  change(sha1: string, isPresent: boolean, at: number): boolean {
    if (this.has(sha1) === isPresent) return false;
    this.#history.get(sha1)?.push({ at, isPresent });
    if (!isPresent) this.lostAt = at;
    return true;
  }

  listed(): PoolFile[] {
    return this.files.filter(({ sha1 }) => this.has(sha1));
  }

  /** Whether the file was present, or absent, at any moment of a time. */
  wasEver(sha1: string, isPresent: boolean, from: number, until: number): boolean {
    const history = this.#history.get(sha1) ?? [{ at: -Infinity, isPresent: false }];
    return history.some(
      (state, index) =>
        state.isPresent === isPresent && state.at <= until && (history[index + 1]?.at ?? Infinity) >= from,
    );
  }
}
