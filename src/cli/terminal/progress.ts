import { formatDuration, formatNumber } from "../../format.ts";
import { CLEAR_LINE } from "./output.ts";

const TERMINAL_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;
const BAR_CHARACTERS = 20;
const DEFAULT_COLUMNS = 80;

/** How far a run is; `total` is undefined as long as it is not known. */
interface State {
  text: string;
  done: number;
  total?: number | undefined;
}

/**
 * Yields the items, and shows on stderr how far they are processed: on a terminal in one line that is rewritten,
 * otherwise in a line every five seconds. It shows the rate and, if the total is known, a bar and the time left.
 */
export async function* withProgress<T>(
  items: AsyncIterable<T> | Iterable<T>,
  state: () => State,
): AsyncGenerator<T> {
  const isTerminal = process.stderr.isTTY === true;
  const startedAt = performance.now();
  let printedAt = startedAt;
  try {
    for await (const item of items) {
      yield item;
      const now = performance.now();
      if (now - printedAt < (isTerminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS)) continue;
      printedAt = now;
      const [line, ...shorter] = formatLine(state(), (now - startedAt) / 1000);
      process.stderr.write(isTerminal ? CLEAR_LINE + fitting([line, ...shorter]) : `${line}\n`);
    }
  } finally {
    if (isTerminal && printedAt > startedAt) process.stderr.write(CLEAR_LINE);
  }
}

/** A line that wraps can't be rewritten. */
function fitting(lines: readonly string[]): string {
  const columns = process.stderr.columns || DEFAULT_COLUMNS;
  return lines.find((line) => line.length < columns) ?? "";
}

/**
 * `[#####               ]  25 %  12,345 resources read, 4,321/s, 9 s left`, and shorter forms of it for narrow terminals.
 */
function formatLine({ text, done, total }: State, seconds: number): [string, ...string[]] {
  const line = `${text}, ${formatNumber(Math.round(done / seconds))}/s`;
  if (!total || done === 0) return [line, text];
  const part = Math.min(done / total, 1);
  const bar = "#".repeat(Math.floor(part * BAR_CHARACTERS)).padEnd(BAR_CHARACTERS);
  const percent = `${String(Math.floor(part * 100)).padStart(3)} %`;
  const left = `${formatDuration((1000 * seconds * (1 - part)) / part)} left`;
  return [
    `[${bar}] ${percent}  ${line}, ${left}`,
    `${percent}  ${line}, ${left}`,
    `${percent}  ${text}, ${left}`,
    `${percent}, ${left}`,
  ];
}
