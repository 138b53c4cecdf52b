import { runInDurableObject } from "cloudflare:test";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { catalog } from "./catalog.ts";

/** Counts the rows that the statements of the catalog read and write during `use`, as Cloudflare bills them. */
export async function countRows(use: (instance: Catalog) => Promise<unknown>) {
  return runInDurableObject(catalog(), async (instance: Catalog, { storage }) => {
    const methods: SqlStorage = Object.getPrototypeOf(storage.sql);
    const { exec } = methods;
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    methods.exec = function (this: SqlStorage, ...parameters: Parameters<SqlStorage["exec"]>) {
      const cursor = exec.apply(this, parameters);
      cursors.push(cursor);
      return cursor;
    } as SqlStorage["exec"];
    await use(instance).finally(() => {
      methods.exec = exec;
    });
    const sum = (of: "rowsRead" | "rowsWritten") => cursors.reduce((total, cursor) => total + cursor[of], 0);
    return { read: sum("rowsRead"), written: sum("rowsWritten") };
  });
}
