import type { ResourceKey } from "../resources/resource-key.ts";

/**
 * Rows written are billed: a resource costs one row in the table and one in the index. The index finds both
 * the changes since a revision and the resources without a key.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS resources (
    sha1 BLOB PRIMARY KEY,
    size INTEGER,                   -- bytes; null if the resource was only ever removed
    size_verified INTEGER NOT NULL, -- 1 if the size is verified, 0 if a client reported it
    state INTEGER NOT NULL,         -- a value of ROW_STATE
    observed_at INTEGER NOT NULL,   -- ms since the epoch
    revision INTEGER NOT NULL       -- of the change that added or removed it
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS by_state ON resources (state, revision);

  -- Removed resources that a snapshot or a key of Workers KV may still have.
  CREATE TABLE IF NOT EXISTS tombstones (
    prefix TEXT NOT NULL,           -- KEY_PREFIX
    sha1 BLOB NOT NULL,
    size INTEGER NOT NULL,
    revision INTEGER NOT NULL,      -- of the removal
    removed_at INTEGER NOT NULL,    -- ms since the epoch
    has_key INTEGER NOT NULL,       -- 1 if Workers KV may have its key
    key_deleted_at INTEGER,         -- ms since the epoch; null before the key was deleted
    PRIMARY KEY (prefix, sha1, size)
  ) WITHOUT ROWID;
`;

/** The column `state`. Resources are present in all states below `removed`. */
export const ROW_STATE = {
  keyMissing: 0,
  /** A write of the key has begun: Workers KV may have it. */
  keyBegun: 1,
  keyWritten: 2,
  removed: 3,
} as const;
export const PRESENT_STATES: readonly number[] = [
  ROW_STATE.keyMissing,
  ROW_STATE.keyBegun,
  ROW_STATE.keyWritten,
];

export type ResourceRow = { size: number | null; size_verified: number; state: number; observed_at: number };

/** The values of a row of a resource that is present. */
export interface Presence {
  isSizeVerified: boolean;
  /** ms since the epoch. */
  observedAt: number;
  revision: number;
}

/** The statements that write the tables `resources` and `tombstones`. */
export class ResourceTables {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(TABLES);
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
  insertUnknown(
    prefix: string,
    keys: readonly ResourceKey[],
    { isSizeVerified, observedAt, revision }: Presence,
  ): readonly ResourceKey[] {
    const inserted = this.#sql
      .exec<{ key: ResourceKey }>(
        `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision)
          SELECT observed.sha1, observed.size, ?, ?, ?, ? FROM
            (SELECT unhex(substr(value, 1, 40)) AS sha1, CAST(substr(value, 42) AS INTEGER) AS size FROM json_each(?)) observed
          WHERE NOT EXISTS (SELECT 1 FROM tombstones
            WHERE prefix = ? AND tombstones.sha1 = observed.sha1 AND tombstones.size = observed.size)
          ON CONFLICT DO NOTHING RETURNING lower(hex(sha1)) || ':' || size AS key`,
        isSizeVerified ? 1 : 0,
        ROW_STATE.keyMissing,
        observedAt,
        revision,
        JSON.stringify(keys),
        prefix,
      )
      .toArray();
    if (inserted.length === keys.length) return [];
    const insertedKeys = new Set(inserted.map(({ key }) => key));
    return keys.filter((key) => !insertedKeys.delete(key));
  }

  /** Makes a resource present. If it had another size, the caller adds a tombstone for that. */
  add(
    prefix: string,
    sha1: Uint8Array,
    size: number,
    { isSizeVerified, observedAt, revision }: Presence,
  ): void {
    this.#sql.exec(
      `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (sha1) DO UPDATE SET size = excluded.size, size_verified = excluded.size_verified,
          state = excluded.state, observed_at = excluded.observed_at, revision = excluded.revision`,
      sha1,
      size,
      isSizeVerified ? 1 : 0,
      this.#deleteTombstone(prefix, sha1, size),
      observedAt,
      revision,
    );
  }

  /** Renews the observation of a resource that is present. */
  confirm(sha1: Uint8Array, isSizeVerified: boolean, observedAt: number): void {
    const query = "UPDATE resources SET observed_at = ?, size_verified = ? WHERE sha1 = ?";
    this.#sql.exec(query, observedAt, isSizeVerified ? 1 : 0, sha1);
  }

  /** Records a removal. If the resource was present, the caller adds a tombstone. */
  remove(sha1: Uint8Array, observedAt: number, revision: number): void {
    this.#sql.exec(
      `INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision) VALUES (?, NULL, 0, ?, ?, ?)
        ON CONFLICT (sha1) DO UPDATE SET state = excluded.state, observed_at = excluded.observed_at,
          revision = excluded.revision`,
      sha1,
      ROW_STATE.removed,
      observedAt,
      revision,
    );
  }

  addTombstone(
    prefix: string,
    sha1: Uint8Array,
    { size, state }: ResourceRow,
    revision: number,
    now: number,
  ): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, NULL)",
      prefix,
      sha1,
      size,
      revision,
      now,
      state === ROW_STATE.keyMissing ? 0 : 1,
    );
  }

  /**
   * Removes all resources that are present. No snapshot counts after this, so only tombstones of keys are
   * needed.
   */
  removeAll(prefix: string, revision: number, now: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO tombstones SELECT ?, sha1, size, ?, ?, 1, NULL FROM resources WHERE state IN (?, ?)",
      prefix,
      revision,
      now,
      ROW_STATE.keyBegun,
      ROW_STATE.keyWritten,
    );
    this.#sql.exec("DELETE FROM tombstones WHERE has_key = 0");
    this.#sql.exec("DELETE FROM resources WHERE state < ?", ROW_STATE.removed);
  }

  deleteRemovals(): void {
    this.#sql.exec("DELETE FROM resources");
  }

  /** @param time ms since the epoch */
  deleteRemovalsBefore(time: number): void {
    this.#sql.exec("DELETE FROM resources WHERE state = ? AND observed_at < ?", ROW_STATE.removed, time);
  }

  rewriteKeys(): void {
    const query = "UPDATE resources SET state = ? WHERE state = ?";
    this.#sql.exec(query, ROW_STATE.keyBegun, ROW_STATE.keyWritten);
  }

  /** @returns the state of the resource that becomes present: Workers KV may still have its key */
  #deleteTombstone(prefix: string, sha1: Uint8Array, size: number): number {
    const query = "DELETE FROM tombstones WHERE prefix = ? AND sha1 = ? AND size = ? RETURNING has_key";
    const [tombstone] = this.#sql.exec<{ has_key: number }>(query, prefix, sha1, size).toArray();
    return tombstone?.has_key ? ROW_STATE.keyBegun : ROW_STATE.keyMissing;
  }
}
