/** The moment after which a request waits no longer. */
export class Deadline {
  /** Aborts when the deadline has come. */
  readonly signal: AbortSignal;
  /** When half of the time has been used up, in ms since the epoch. */
  readonly middle: number;
  readonly #expired: Promise<never>;

  /** @param ms from now */
  constructor(ms: number) {
    this.middle = Date.now() + ms / 2;
    this.signal = AbortSignal.timeout(ms);
    this.#expired = new Promise((_, reject) => {
      this.signal.addEventListener("abort", () => reject(new DeadlineExceeded(ms)), { once: true });
    });
    // Nobody may be waiting when it expires.
    this.#expired.catch(() => {});
  }

  /**
   * The outcome of `work`, if it comes in time.
   *
   * @throws DeadlineExceeded
   */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#expired]);
  }
}

export class DeadlineExceeded extends Error {
  override name = "DeadlineExceeded";

  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}
