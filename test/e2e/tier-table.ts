import { writeSync } from "node:fs";
import type { Push } from "../foundation/cf-push/push-client.ts";
import type { TierMatches } from "../foundation/demo/matched-log.ts";
import { type Cell, textTable } from "../support/table.ts";

const STDOUT = 1;
const COLUMNS = [
  "requested",
  "snapshot",
  "keys",
  "origin",
  "decided",
  "verified",
  "rejected",
  "uploaded",
  "MB",
  "match ms",
  "warnings",
];

/** Prints a row for each push of a test file: the matches of each tier, the push session and the verification. */
export class TierTable {
  readonly #title: string;
  readonly #rows: Cell[][] = [];

  constructor(title: string) {
    this.#title = title;
  }

  add(label: string, push: Push, matches: TierMatches): void {
    const { requested, uploadedFiles, uploadedBytes, durations, warnings } = push;
    const megabytes = (uploadedBytes / 1e6).toFixed(1);
    const matchMs = Math.round(durations.match);
    const tiers = this.#tiers(matches);
    this.#rows.push([label, requested, ...tiers, uploadedFiles, megabytes, matchMs, warnings.length]);
  }

  /** Adds a push that failed. */
  addFailed(label: string, message: string, matches: TierMatches): void {
    this.#rows.push([label, "", ...this.#tiers(matches), message]);
  }

  #tiers({ snapshot, keys, origin, decided, verified, rejected }: TierMatches): Cell[] {
    return [snapshot, keys, origin, decided, verified, rejected];
  }

  /** Writes to stdout directly: the test runner hides the console output of tests that pass. */
  print(): void {
    if (this.#rows.length === 0) return;
    writeSync(STDOUT, `\n${textTable([this.#title, ...COLUMNS], this.#rows)}\n\n`);
  }
}
