/**
 * Measures how long a request waits, by name. Clocks in the Workers runtime only advance during I/O, so that CPU time is not
 * measured.
 */
export class Stopwatch<Name extends string> {
  /** Milliseconds by name. */
  readonly ms: Record<Name, number>;
  readonly #startedAt = Date.now();
  #lapAt = this.#startedAt;

  constructor(...names: Name[]) {
    this.ms = Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
  }

  /** Adds the time since the last lap to `name`. */
  lap(name: Name): void {
    const now = Date.now();
    this.ms[name] += now - this.#lapAt;
    this.#lapAt = now;
  }

  /** Milliseconds since the start. */
  get total(): number {
    return Date.now() - this.#startedAt;
  }
}
