/**
 * Where the time of a request goes, in ms. In the Workers runtime clocks stand still but for I/O: what is seen is what was
 * waited for, and CPU counts as nothing.
 */
export class Stopwatch<Name extends string> {
  /** Of each name how long it was waited for, in all. */
  readonly ms: Record<Name, number>;
  readonly #begunAt = Date.now();
  #lapAt = this.#begunAt;

  constructor(...names: Name[]) {
    this.ms = Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
  }

  /** What has passed since the last lap was waited for `name`. */
  lap(name: Name): void {
    const now = Date.now();
    this.ms[name] += now - this.#lapAt;
    this.#lapAt = now;
  }

  /** Since it began to run, in ms. */
  get total(): number {
    return Date.now() - this.#begunAt;
  }
}
