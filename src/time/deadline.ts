/** A time after which a request no longer waits. The timer starts when it is first needed: most look-ups never wait. */
export class Deadline {
  /** The time at which half of the duration has passed, in ms since the epoch. */
  readonly halfTimeAt: number;
  readonly #ms: number;
  readonly #at: number;
  #signal: AbortSignal | undefined;

  /** @param ms from now */
  constructor(ms: number) {
    this.#ms = ms;
    this.#at = Date.now() + ms;
    this.halfTimeAt = this.#at - ms / 2;
  }

  /** Aborts at the deadline. */
  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.timeout(Math.max(0, this.#at - Date.now()));
    return this.#signal;
  }

  /**
   * The result of `work`, if it comes before the deadline. Keeps nothing of it: with `Promise.race`, the signal would keep each result
   * in memory until the deadline.
   *
   * @throws DeadlineExceeded
   */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const expire = () => reject(new DeadlineExceeded(this.#ms));
      // The signal may have aborted before.
      if (signal.aborted) expire();
      signal.addEventListener("abort", expire, { once: true });
      const removeListener = () => signal.removeEventListener("abort", expire);
      work.then(resolve, reject).then(removeListener, removeListener);
    });
  }
}

export class DeadlineExceeded extends Error {
  override name = "DeadlineExceeded";

  constructor(ms: number) {
    super(`no response within ${ms} ms`);
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
