import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { type Migration, migrate } from "../../src/storage/schema.ts";

const createTable: Migration = { usableFrom: 1, run: (sql) => sql.exec("CREATE TABLE t (a INTEGER)") };
const addColumn: Migration = {
  usableFrom: 1,
  run: (sql) => sql.exec("ALTER TABLE t ADD b INTEGER DEFAULT 7"),
};
const renameColumn: Migration = { usableFrom: 3, run: (sql) => sql.exec("ALTER TABLE t RENAME a TO c") };

/** Runs `use` on a Durable Object without tables. */
const withStorage = (name: string, use: (storage: DurableObjectStorage) => void) =>
  runInDurableObject(env.PUSH_SESSIONS.getByName(name), (_, { storage }) => use(storage));

const rowsOf = (sql: SqlStorage) => sql.exec("SELECT * FROM t").toArray();

it("upgrades the tables of an earlier version, and keeps their rows", () =>
  withStorage("earlier version", ({ sql }) => {
    migrate(sql, [createTable]);
    sql.exec("INSERT INTO t VALUES (1)");
    migrate(sql, [createTable, addColumn, renameColumn]);
    expect(rowsOf(sql)).toEqual([{ c: 1, b: 7 }]);
    expect(sql.exec("SELECT * FROM schema_version").toArray()).toEqual([
      { id: 1, version: 3, usable_from: 3 },
    ]);
  }));

it("runs a migration once", () =>
  withStorage("once", ({ sql }) => {
    migrate(sql, [createTable]);
    expect(() => migrate(sql, [createTable])).not.toThrow();
  }));

it("uses the tables of a later version that only adds to them", () =>
  withStorage("later version", ({ sql }) => {
    migrate(sql, [createTable, addColumn]);
    migrate(sql, [createTable]);
    sql.exec("INSERT INTO t (a) VALUES (1)");
    migrate(sql, [createTable, addColumn]);
    expect(rowsOf(sql)).toEqual([{ a: 1, b: 7 }]);
  }));

it("refuses the tables of a later version that it can't use, and changes nothing", () =>
  withStorage("incompatible version", ({ sql }) => {
    migrate(sql, [createTable, addColumn, renameColumn]);
    sql.exec("INSERT INTO t (c) VALUES (1)");
    expect(() => migrate(sql, [createTable, addColumn])).toThrow(
      "the stored tables have schema version 3, and this version of the Worker can use them only up to 2: deploy the later version again",
    );
    expect(rowsOf(sql)).toEqual([{ c: 1, b: 7 }]);
  }));

it("leaves the tables and their version as they were if a migration fails", () =>
  withStorage("failure", (storage) => {
    const { sql } = storage;
    migrate(sql, [createTable]);
    const failing: Migration = { usableFrom: 1, run: (sql) => sql.exec("ALTER TABLE missing ADD b INTEGER") };
    expect(() => storage.transactionSync(() => migrate(sql, [createTable, addColumn, failing]))).toThrow();
    migrate(sql, [createTable, addColumn]);
    expect(sql.exec("SELECT a, b FROM t").toArray()).toEqual([]);
  }));
