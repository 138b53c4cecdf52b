import { formatDuration, formatNumber } from "../../format.ts";
import { CLEAR_LINE } from "./output.ts";

const TERMINAL_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;
const BAR_CHARACTERS = 20;

/**
 * Tells how far a long run is, on stderr: one line rewritten on a terminal, elsewhere a line now and then. With the
 * rate, and where the total is known, a bar and the time left.
 */
export class Progress {
  readonly #isTerminal = process.stderr.isTTY === true;
  /** At the first update: what comes before it is no work of this kind. */
  #startedAt: number | undefined;
  #toldAt = 0;
  #shown = false;

  /**
   * @param text what is done
   * @param done how much, in whatever is counted
   * @param total where it is known
   */
  update(text: () => string, done: number, total?: number): void {
    const now = performance.now();
    if (this.#startedAt === undefined) {
      this.#startedAt = now;
      this.#toldAt = now;
    }
    if (now - this.#toldAt < (this.#isTerminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS)) return;
    this.#toldAt = now;
    this.#shown = true;
    const line = lineOf(text(), done, total, (now - this.#startedAt) / 1000);
    // A line that wraps could not be rewritten.
    const shown = this.#isTerminal ? line.slice(0, (process.stderr.columns ?? 80) - 1) : line;
    process.stderr.write(this.#isTerminal ? CLEAR_LINE + shown : `${shown}\n`);
  }

  /** Takes the line away, so that something else can be told. */
  clear(): void {
    if (this.#isTerminal && this.#shown) process.stderr.write(CLEAR_LINE);
    this.#shown = false;
  }
}

/** `[#####               ]  25 %  12,345 resources read, 4,321/s, 9 s left`. */
function lineOf(text: string, done: number, total: number | undefined, seconds: number): string {
  const line = `${text}, ${formatNumber(Math.round(done / seconds))}/s`;
  if (!total || done === 0) return line;
  const part = Math.min(done / total, 1);
  const bar = "#".repeat(Math.floor(part * BAR_CHARACTERS)).padEnd(BAR_CHARACTERS);
  const percent = String(Math.floor(part * 100)).padStart(3);
  return `[${bar}] ${percent} %  ${line}, ${formatDuration((1000 * seconds * (1 - part)) / part)} left`;
}
