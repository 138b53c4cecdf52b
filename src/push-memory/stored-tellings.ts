import type { Tables } from "./tables.ts";
import { STORED_MS, type Telling } from "./tellings.ts";

/** What a caller's requests were told, in a table: a row for what was stored at once. */
export class StoredTellings {
  static readonly TABLE =
    "CREATE TABLE IF NOT EXISTS tellings (id INTEGER PRIMARY KEY, told_at INTEGER NOT NULL, yes BLOB NOT NULL, no BLOB NOT NULL);";
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** In the order in which they were stored. */
  all(): Telling[] {
    const rows = this.#tables.read<{ told_at: number; yes: ArrayBuffer; no: ArrayBuffer }>(
      "SELECT told_at, yes, no FROM tellings ORDER BY id",
    );
    return rows.map(({ told_at, yes, no }) => ({
      at: told_at,
      yes: new BigUint64Array(yes),
      no: new BigUint64Array(no),
    }));
  }

  store({ at, yes, no }: Telling): void {
    this.#tables.put("INSERT INTO tellings (told_at, yes, no) VALUES (?, ?, ?)", at, yes.buffer, no.buffer);
  }

  /** Deletes what was told until `time`, in ms since the epoch. */
  dropBefore(time: number): void {
    this.#tables.put("DELETE FROM tellings WHERE told_at <= ?", time);
  }

  forget(): void {
    this.#tables.put("DELETE FROM tellings");
  }

  /** When the oldest has had its time, in ms since the epoch; Infinity where there is none. */
  clearAt(): number {
    const query = "SELECT MIN(told_at) AS first FROM tellings";
    const [{ first } = { first: null }] = this.#tables.read<{ first: number | null }>(query);
    return first === null ? Number.POSITIVE_INFINITY : first + STORED_MS;
  }
}
