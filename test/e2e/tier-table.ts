import { writeSync } from "node:fs";
import type { Push } from "../foundation/cf-push/push-client.ts";
import type { TierMatches } from "../foundation/demo/matched-log.ts";
import { type Cell, textTable } from "../support/table.ts";

const STDOUT = 1;
const HEAD = [
  ...["requested", "snapshot", "keys", "origin", "decided", "verified", "rejected"],
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
    { requested, uploadedFiles, uploadedBytes, durations, warnings }: Push,
    figures: TierMatches,
  ): void {
    const { snapshot, keys, origin, decided, verified, rejected } = figures;
    const tiers = [snapshot, keys, origin, decided, verified, rejected];
    const megabytes = (uploadedBytes / 1e6).toFixed(1);
    const match = Math.round(durations.match);
    const row = [requested, ...tiers, uploadedFiles, megabytes, match, warnings.length];
    this.#rows.push([label, ...row]);
  }

  /** A push that ended with a message. */
  addFailed(label: string, message: string, figures: TierMatches): void {
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
