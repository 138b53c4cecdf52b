export type Cell = string | number;

/** Formats a table for a terminal. The first column is left-aligned, the others right-aligned. */
export function textTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [columns, ...rows].map((row) => row.map(String));
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const [head = "", ...body] = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  "),
  );
  return [head, "-".repeat(head.length), ...body].join("\n");
}

/** Formats a Markdown table. Columns of numbers are right-aligned. */
export function markdownTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const line = (cells: readonly Cell[]) => `| ${cells.join(" | ")} |`;
  const isNumeric = (column: number) => rows.every((row) => /^[\d.]+x?$|^$/.test(`${row[column]}`));
  const rule = line(columns.map((_, column) => (isNumeric(column) ? "--:" : "---")));
  return [line(columns), rule, ...rows.map(line)].join("\n");
}
