/** A change of the tables of a Durable Object. */
export interface Migration {
  /** The oldest schema version whose code can use the tables after this change. */
  usableFrom: number;
  run(sql: SqlStorage): void;
}

const TABLE = `
  CREATE TABLE IF NOT EXISTS schema_version (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,     -- how many migrations have run
    usable_from INTEGER NOT NULL  -- code that has fewer migrations must not use the tables
  )
`;

/**
 * Runs the migrations that the tables lack. To be called in a transaction.
 *
 * @param migrations in the order of their versions, which count from 1. Once released, a migration is never changed
 * @throws if a later version of the Worker has changed the tables so that this one can't use them
 */
export function migrate(sql: SqlStorage, migrations: readonly Migration[]): void {
  const stored = readVersion(sql);
  const { version, usable_from: usableFrom } = stored ?? { version: 0, usable_from: 0 };
  if (usableFrom > migrations.length) {
    throw new Error(
      `the stored tables have schema version ${version}, and this version of the Worker can use them only up to ` +
        `${migrations.length}: deploy the later version again`,
    );
  }
  if (version >= migrations.length) return;
  sql.exec(TABLE);
  for (const { run } of migrations.slice(version)) run(sql);
  const usable = Math.max(...migrations.map((migration) => migration.usableFrom));
  sql.exec(
    "INSERT OR REPLACE INTO schema_version (id, version, usable_from) VALUES (1, ?, ?)",
    migrations.length,
    usable,
  );
}

function readVersion(sql: SqlStorage): { version: number; usable_from: number } | undefined {
  const tables = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").toArray();
  if (tables.length === 0) return undefined;
  const [row] = sql.exec<{ version: number; usable_from: number }>("SELECT * FROM schema_version").toArray();
  return row;
}
