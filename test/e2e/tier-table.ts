import { writeSync } from "node:fs";
import type { Push } from "../foundation/cf-push/push-client.ts";
import type { TierFigures } from "../foundation/demo/matched-log.ts";
import { type Cell, textTable } from "../support/table.ts";

const STDOUT = 1;
const HEAD = [
  ...["asked", "snapshot", "keys", "origin", "decided", "verified", "rejected"],
  ...["uploaded", "MB", "match ms", "warnings"],
];

/** What each tier, the push session and the verification did, for each push of a test file. */
export class TierTable {
  readonly #title: string;
  readonly #rows: Cell[][] = [];

  constructor(title: string) {
    this.#title = title;
  }

  add(
    label: string,
    { asked, uploadedFiles, uploadedBytes, durations, warnings }: Push,
    figures: TierFigures,
  ): void {
    const { snapshot, keys, origin, decided, verified, rejected } = figures;
    const tiers = [snapshot, keys, origin, decided, verified, rejected];
    const megabytes = (uploadedBytes / 1e6).toFixed(1);
    const match = Math.round(durations.match);
    const row = [asked, ...tiers, uploadedFiles, megabytes, match, warnings.length];
    this.#rows.push([label, ...row]);
  }

  /** A push that ended with a message. */
  addFailed(label: string, message: string, figures: TierFigures): void {
    const { snapshot, keys, origin, decided, verified, rejected } = figures;
    const tiers = [snapshot, keys, origin, decided, verified, rejected];
    this.#rows.push([label, "", ...tiers, message]);
  }

  /** Straight to stdout: the test runner keeps what tests that pass have said to the console. */
  print(): void {
    if (this.#rows.length === 0) return;
    writeSync(STDOUT, `\n${textTable([this.#title, ...HEAD], this.#rows)}\n\n`);
  }
}
