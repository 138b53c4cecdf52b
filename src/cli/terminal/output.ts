import { once } from "node:events";

/** Control characters of a terminal: back to the start of the line, and erase it. */
export const CLEAR_LINE = "\r\x1b[K";

/** Writes data to stdout. Waits until the reader has kept up. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, "drain");
}

/**
 * Writes a message for a person to stderr. It replaces a line of progress. A server's or a file's text in it can't control
 * the terminal.
 */
export function note(text: string): void {
  const lines = text.replaceAll(/[^\P{Cc}\n]/gu, " ");
  process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ""}${lines}\n`);
}

/** Prints a result as JSON or as text. */
export async function printResult(asJson: boolean | undefined, value: object, text: string): Promise<void> {
  await print(asJson ? JSON.stringify(value, undefined, 2) : text);
}

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

/** Aligns the cells of each column. @param right indexes of the columns that are aligned to the right */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  const align = (cell: string, column: number) =>
    right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(align).join("  ").trimEnd()).join("\n");
}

/** Hides user, password and query of a URL: the query may contain a signature. */
export function redactUrl(url: string): string {
  return url.replace(/^(\w+:\/\/)?.*@/s, "$1***@").replace(/\?.*$/s, "?***");
}
