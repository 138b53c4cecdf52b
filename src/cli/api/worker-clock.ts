import { Exit } from "../terminal/exit.ts";

/**
 * The Worker's time, for what the command sees of the pool. It is behind by what the Worker's answer took to arrive, and
 * never ahead: nothing seems younger than it is, however long it takes to be told.
 */
export class WorkerClock {
  /** When the command began; ms since the epoch. */
  readonly begun: number;

  /** @param time of the Worker's answer that has just arrived, in ISO 8601 */
  constructor(time: unknown) {
    const told = typeof time === "string" ? Date.parse(time) : Number.NaN;
    if (Number.isNaN(told)) {
      throw new Exit("failed", "The Worker does not tell its time: deploy the version of this command.");
    }
    this.begun = told - performance.now();
  }

  /** ms since the epoch */
  now(): number {
    return this.begun + performance.now();
  }
}
