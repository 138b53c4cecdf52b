import type { Tables } from "./tables.ts";

/** What happened last of each kind: */
type Moment =
  /** What was told is forgotten. */
  | "forgotten_at"
  /** The push began that goes on. */
  | "begun_at"
  /** A request of several was told its answer. */
  | "full_request_at"
  /** Until then something is told that was not stored. */
  | "unstored_until";

/** Moments in ms since the epoch, in a table and at hand. */
export class Times {
  static readonly TABLE =
    "CREATE TABLE IF NOT EXISTS times (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;";
  readonly #tables: Tables;
  readonly #times: Map<string, number>;

  constructor(tables: Tables) {
    this.#tables = tables;
    const times = tables.read<{ name: string; at: number }>("SELECT name, at FROM times");
    this.#times = new Map(times.map(({ name, at }) => [name, at]));
  }

  /** 0 where that has not happened. */
  get(moment: Moment): number {
    return this.#times.get(moment) ?? 0;
  }

  set(moment: Moment, at: number): void {
    this.#tables.put("INSERT OR REPLACE INTO times VALUES (?, ?)", moment, at);
    this.#times.set(moment, at);
  }

  drop(moment: Moment): void {
    if (this.#times.delete(moment)) this.#tables.put("DELETE FROM times WHERE name = ?", moment);
  }

  /** The table has been deleted. */
  begin(): void {
    this.#times.clear();
  }
}
