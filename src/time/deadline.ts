/** The moment after which a request waits no longer. Its timer starts when something first waits for it: most look-ups never do. */
export class Deadline {
  /** When half of the time has been used up, in ms since the epoch. */
  readonly middle: number;
  readonly #ms: number;
  readonly #at: number;
  #signal: AbortSignal | undefined;
  #expired: Promise<never> | undefined;

  /** @param ms from now */
  constructor(ms: number) {
    this.#ms = ms;
    this.#at = Date.now() + ms;
    this.middle = this.#at - ms / 2;
  }

  /** Aborts when the deadline has come. */
  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.timeout(Math.max(0, this.#at - Date.now()));
    return this.#signal;
  }

  /**
   * The outcome of `work`, if it comes in time.
   *
   * @throws DeadlineExceeded
   */
  race<T>(work: Promise<T>): Promise<T> {
    this.#expired ??= new Promise((_, reject) => {
      const expire = () => reject(new DeadlineExceeded(this.#ms));
      // The signal may have been used, and have aborted, before anything raced.
      if (this.signal.aborted) expire();
      this.signal.addEventListener("abort", expire, { once: true });
    });
    // Nothing may be waiting when it expires.
    this.#expired.catch(() => {});
    return Promise.race([work, this.#expired]);
  }
}

export class DeadlineExceeded extends Error {
  override name = "DeadlineExceeded";

  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

/**
 * The result of `work`, if it comes within `ms`.
 *
 * @throws DeadlineExceeded
 */
export function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Deadline(ms).race(work);
}
