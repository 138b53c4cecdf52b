import { once } from "node:events";

/** Control characters of a terminal: back to the start of the line, and erase it. */
export const CLEAR_LINE = "\r\x1b[K";

/** Writes data to stdout. Waits until the reader has kept up. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, "drain");
}

/** Writes sentences for a person to stdout. @param indent of all lines but the first, in a terminal that wraps them */
export function printText(text: string, indent = 0): Promise<void> {
  return print(wrap(text, process.stdout, indent));
}

/**
 * Writes a message for a person to stderr. It replaces a line of progress. A server's or a file's text in it can't control
 * the terminal.
 */
export function note(text: string): void {
  const lines = wrap(text.replaceAll(/[^\P{Cc}\n]/gu, " "), process.stderr);
  process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ""}${lines}\n`);
}

/** Prints a result as JSON or as text: a sentence or tables. */
export async function printResult(asJson: boolean | undefined, value: object, text: string): Promise<void> {
  if (asJson) await print(JSON.stringify(value, undefined, 2));
  // Tables are already wrapped.
  else await (text.includes("\n") ? print(text) : printText(text));
}

/** Narrower terminals wrap the text themselves. */
const WRAPPED_COLUMNS_MIN = 20;

/**
 * Wraps lines at spaces if they are written to a terminal. Longer words are not broken.
 *
 * @param indent of the continuation lines. It is dropped if it takes more than half of the terminal
 */
function wrap(text: string, { isTTY, columns }: NodeJS.WriteStream, indent = 0): string {
  if (!isTTY || columns < WRAPPED_COLUMNS_MIN) return text;
  const margin = " ".repeat(indent > columns / 2 ? 0 : indent);
  const wrapLine = (line: string) => {
    const wrapped: string[] = [];
    let rest = line;
    let start = Math.max(indent, line.search(/\S/));
    while (rest.length > columns) {
      const fitting = rest.lastIndexOf(" ", columns);
      const end = fitting > start ? fitting : rest.indexOf(" ", Math.max(columns, start));
      if (end === -1) break;
      wrapped.push(rest.slice(0, end).trimEnd());
      rest = margin + rest.slice(end).trimStart();
      start = margin.length;
    }
    return [...wrapped, rest].join("\n");
  };
  return text.split("\n").map(wrapLine).join("\n");
}

const COLUMN_GAP = "  ";
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `1.2 MB`, in powers of 1000. */
export function formatBytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * Aligns the cells of each column, for stdout. A terminal's lines are wrapped within the last column.
 *
 * @param right indexes of the columns that are aligned to the right
 */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  const align = (cell: string, column: number) =>
    right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  const indent = widths.slice(0, -1).reduce((sum, width) => sum + width + COLUMN_GAP.length, 0);
  return rows
    .map((row) => wrap(row.map(align).join(COLUMN_GAP).trimEnd(), process.stdout, indent))
    .join("\n");
}

/** Hides user, password and query of a URL: the query may contain a signature. */
export function redactUrl(url: string): string {
  return url.replace(/^(\w+:\/\/)?.*@/s, "$1***@").replace(/\?.*$/s, "?***");
}
