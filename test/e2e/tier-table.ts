import { writeSync } from "node:fs";
import type { TierFigures } from "../foundry/matched-log.ts";
import type { Push } from "../foundry/push-client.ts";

const STDOUT = 1;
const HEAD = ["asked", "snapshot", "keys", "origin", "uploaded", "MB", "match ms", "warnings"];

/** Which tier has answered what, for each push of a test file. */
export class TierTable {
  readonly #title: string;
  readonly #rows: string[][] = [];

  constructor(title: string) {
    this.#title = title;
  }

  add(
    label: string,
    { asked, uploadedFiles, uploadedBytes, durations, warnings }: Push,
    figures: TierFigures,
  ): void {
    const { snapshot, keys, origin } = figures;
    const megabytes = (uploadedBytes / 1e6).toFixed(1);
    const match = Math.round(durations.match);
    const row = [asked, snapshot, keys, origin, uploadedFiles, megabytes, match, warnings.length];
    this.#rows.push([label, ...row.map(String)]);
  }

  /** Straight to stdout: the test runner keeps what tests that pass have said to the console. */
  print(): void {
    if (this.#rows.length === 0) return;
    const rows = [[this.#title, ...HEAD], ...this.#rows];
    const widths =
      rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    const lines = rows.map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    );
    writeSync(STDOUT, `\n${lines.join("\n")}\n\n`);
  }
}
