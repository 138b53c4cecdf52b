import { CLEAR_LINE } from "./output.ts";

const TERMINAL_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;

/** Tells how far a long run is, on stderr: one line rewritten on a terminal, elsewhere a line now and then. */
export class Progress {
  readonly #isTerminal = process.stderr.isTTY === true;
  #toldAt = performance.now();
  #shown = false;

  update(text: () => string): void {
    const now = performance.now();
    if (now - this.#toldAt < (this.#isTerminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS)) return;
    this.#toldAt = now;
    this.#shown = true;
    // A line that wraps could not be rewritten.
    const line = this.#isTerminal ? text().slice(0, (process.stderr.columns ?? 80) - 1) : text();
    process.stderr.write(this.#isTerminal ? CLEAR_LINE + line : `${line}\n`);
  }

  /** Takes the line away, so that something else can be told. */
  clear(): void {
    if (this.#isTerminal && this.#shown) process.stderr.write(CLEAR_LINE);
    this.#shown = false;
  }
}
