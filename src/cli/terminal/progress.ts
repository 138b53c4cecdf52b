import { formatDuration, formatNumber } from "../../format.ts";
import { CLEAR_LINE } from "./output.ts";

const TERMINAL_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;
const BAR_CHARACTERS = 20;

/**
 * Shows on stderr how far a long run is: on a terminal one line that is rewritten, otherwise a line every five seconds.
 * It shows the rate and, if the total is known, a bar and the time left.
 */
export class Progress {
  readonly #isTerminal = process.stderr.isTTY === true;
  /** At the first update. */
  #startedAt: number | undefined;
  #printedAt = 0;
  #isShown = false;

  /** @param total if it is known */
  update(text: () => string, done: number, total?: number): void {
    const now = performance.now();
    if (this.#startedAt === undefined) {
      this.#startedAt = now;
      this.#printedAt = now;
    }
    if (now - this.#printedAt < (this.#isTerminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS)) return;
    this.#printedAt = now;
    this.#isShown = true;
    const line = formatLine(text(), done, total, (now - this.#startedAt) / 1000);
    // A line that wraps can't be rewritten.
    const shown = this.#isTerminal ? line.slice(0, (process.stderr.columns ?? 80) - 1) : line;
    process.stderr.write(this.#isTerminal ? CLEAR_LINE + shown : `${shown}\n`);
  }

  /** Erases the line. */
  clear(): void {
    if (this.#isTerminal && this.#isShown) process.stderr.write(CLEAR_LINE);
    this.#isShown = false;
  }
}

/** `[#####               ]  25 %  12,345 resources read, 4,321/s, 9 s left`. */
function formatLine(text: string, done: number, total: number | undefined, seconds: number): string {
  const line = `${text}, ${formatNumber(Math.round(done / seconds))}/s`;
  if (!total || done === 0) return line;
  const part = Math.min(done / total, 1);
  const bar = "#".repeat(Math.floor(part * BAR_CHARACTERS)).padEnd(BAR_CHARACTERS);
  const percent = String(Math.floor(part * 100)).padStart(3);
  return `[${bar}] ${percent} %  ${line}, ${formatDuration((1000 * seconds * (1 - part)) / part)} left`;
}
