import type { ResourceKey } from "../resources/resource-key.ts";
import { ROW_STATE, type State } from "./catalog-storage.ts";

type ResourceRow = { size: number | null; size_verified: number; state: number; observed_at: number };

/** The common values of observations that are recorded together. Times are in ms since the epoch. */
export interface Batch {
  /** KEY_PREFIX. */
  prefix: string;
  observedAt: number;
  isSizeVerified: boolean;
  revision: number;
  now: number;
  /** The state of the keys, whose `overruled` is kept up to date. */
  keys: State["keys"];
}

/** The statements that write the tables `resources` and `tombstones`. */
export class ResourceTables {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  find(sha1: Uint8Array): ResourceRow | undefined {
    const query = "SELECT size, size_verified, state, observed_at FROM resources WHERE sha1 = ?";
    return this.#sql.exec<ResourceRow>(query, sha1).toArray()[0];
  }

  /**
   * Inserts the resources that have neither a row nor a tombstone. One statement for all takes a third of the
   * time of one for each.
   *
   * @returns the other resources, including repetitions
   */
  insertUnknown(keys: readonly ResourceKey[], batch: Batch): readonly ResourceKey[] {
    const inserted = this.#sql
      .exec<{ key: ResourceKey }>(
        `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision)
          SELECT observed.sha1, observed.size, ?, ?, ?, ? FROM
            (SELECT unhex(substr(value, 1, 40)) AS sha1, CAST(substr(value, 42) AS INTEGER) AS size
              FROM json_each(?)) observed
          WHERE NOT EXISTS (SELECT 1 FROM tombstones
            WHERE prefix = ? AND tombstones.sha1 = observed.sha1 AND tombstones.size = observed.size)
          ON CONFLICT DO NOTHING RETURNING lower(hex(sha1)) || ':' || size AS key`,
        batch.isSizeVerified ? 1 : 0,
        ROW_STATE.keyMissing,
        batch.observedAt,
        batch.revision,
        JSON.stringify(keys),
        batch.prefix,
      )
      .toArray();
    if (inserted.length === keys.length) return [];
    const insertedKeys = new Set(inserted.map(({ key }) => key));
    return keys.filter((key) => !insertedKeys.delete(key));
  }

  /** Makes a resource present. If it had another size, the caller adds a tombstone for that. */
  add(sha1: Uint8Array, size: number, batch: Batch): void {
    this.#sql.exec(
      `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (sha1) DO UPDATE SET size = excluded.size, size_verified = excluded.size_verified,
          state = excluded.state, observed_at = excluded.observed_at, revision = excluded.revision`,
      sha1,
      size,
      batch.isSizeVerified ? 1 : 0,
      this.#deleteTombstone(sha1, size, batch),
      batch.observedAt,
      batch.revision,
    );
  }

  /** Marks the size of a resource that is present as verified. */
  verifySize(sha1: Uint8Array): void {
    this.#sql.exec("UPDATE resources SET size_verified = 1 WHERE sha1 = ?", sha1);
  }

  /** Records a removal. If the resource was present, the caller adds a tombstone. */
  remove(sha1: Uint8Array, { observedAt, revision }: Batch): void {
    const query = `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision)
      VALUES (?, NULL, 0, ?, ?, ?)
      ON CONFLICT (sha1) DO UPDATE SET state = excluded.state, observed_at = excluded.observed_at,
        revision = excluded.revision`;
    this.#sql.exec(query, sha1, ROW_STATE.removed, observedAt, revision);
  }

  /** The resource was present, so it has no tombstone yet. */
  addTombstone(sha1: Uint8Array, { size, state }: ResourceRow, batch: Batch): void {
    const { prefix, revision, now, keys } = batch;
    const hasKey = state === ROW_STATE.keyMissing ? 0 : 1;
    const query = `INSERT OR REPLACE INTO tombstones (prefix, sha1, size, revision, removed_at, has_key) VALUES (?, ?, ?, ?, ?, ?)`;
    this.#sql.exec(query, prefix, sha1, size, revision, now, hasKey);
    keys.overruled += hasKey;
  }

  /** Removes all present resources. No snapshot counts after this, so only keys need tombstones. */
  removeAll(prefix: string, revision: number, now: number): void {
    const query = `INSERT OR REPLACE INTO tombstones (prefix, sha1, size, revision, removed_at, has_key)
      SELECT ?, sha1, size, ?, ?, 1 FROM resources WHERE state IN (?, ?)`;
    this.#sql.exec(query, prefix, revision, now, ROW_STATE.keyBegun, ROW_STATE.keyWritten);
    this.#sql.exec("DELETE FROM tombstones WHERE has_key = 0");
    this.#sql.exec("DELETE FROM resources WHERE state < ?", ROW_STATE.removed);
  }

  isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 FROM resources LIMIT 1").toArray().length === 0;
  }

  deleteAllRows(): void {
    this.#sql.exec("DELETE FROM resources");
  }

  /** Makes the key writer write all keys again. */
  rewriteKeys(): void {
    const query = "UPDATE resources SET state = ? WHERE state = ?";
    this.#sql.exec(query, ROW_STATE.keyBegun, ROW_STATE.keyWritten);
  }

  countOverruledKeys(prefix: string): number {
    const query = "SELECT COUNT(*) AS count FROM tombstones WHERE prefix = ? AND has_key = 1";
    return this.#sql.exec<{ count: number }>(query, prefix).one().count;
  }

  /** @returns the state of the resource that becomes present: Workers KV may still have its key */
  #deleteTombstone(sha1: Uint8Array, size: number, { prefix, keys }: Batch): number {
    const query = "DELETE FROM tombstones WHERE prefix = ? AND sha1 = ? AND size = ? RETURNING has_key";
    const [tombstone] = this.#sql.exec<{ has_key: number }>(query, prefix, sha1, size).toArray();
    keys.overruled -= tombstone?.has_key ?? 0;
    return tombstone?.has_key ? ROW_STATE.keyBegun : ROW_STATE.keyMissing;
  }
}
