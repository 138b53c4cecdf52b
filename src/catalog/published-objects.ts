import type { KeyValueStore } from "../cache/key-value-store.ts";
import { SUPERSEDED_KEPT_MS } from "../time/time-guarantees.ts";

/** The packed values of the cache, each recorded before it is written, so that none is ever left behind. */
export class PublishedObjects {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  async write(store: KeyValueStore, prefix: string, name: string, bytes: Uint8Array): Promise<void> {
    this.#sql.exec("INSERT OR REPLACE INTO published_objects VALUES (?, ?, NULL)", prefix, name);
    await store.put(name, bytes);
  }

  /** A manifest has been written that names `current` and nothing else; what is being written, a later one may name. */
  supersede(prefix: string, current: readonly string[], now: number): void {
    const query = "SELECT name, superseded_at AS since FROM published_objects WHERE prefix = ?";
    const values = this.#sql.exec<{ name: string; since: number | null }>(query, prefix).toArray();
    for (const { name, since } of values) {
      const isCurrent = current.includes(name);
      if (isCurrent === (since === null)) continue;
      const update = "UPDATE published_objects SET superseded_at = ? WHERE prefix = ? AND name = ?";
      this.#sql.exec(update, isCurrent ? null : now, prefix, name);
    }
  }

  /** Deletes what was superseded an hour ago, at most `limit` values. */
  async clear(storeOf: (prefix: string) => KeyValueStore, now: number, limit: number): Promise<void> {
    const due = this.#sql
      .exec<{ prefix: string; name: string }>(
        "SELECT prefix, name FROM published_objects WHERE superseded_at <= ? LIMIT ?",
        now - SUPERSEDED_KEPT_MS,
        limit,
      )
      .toArray();
    for (const { prefix, name } of due) {
      await storeOf(prefix).delete(name);
      this.#sql.exec("DELETE FROM published_objects WHERE prefix = ? AND name = ?", prefix, name);
    }
  }

  /** When there is something to clear, in ms since the epoch. */
  clearAt(): number {
    const query = "SELECT MIN(superseded_at) AS first FROM published_objects";
    const { first } = this.#sql.exec<{ first: number | null }>(query).one();
    return first === null ? Number.POSITIVE_INFINITY : first + SUPERSEDED_KEPT_MS;
  }
}
