import type { ResourceKey } from "../resources/resource-key.ts";
import { sha1Bytes, sha1Hex } from "../resources/sha1.ts";
import { STATE } from "./tables.ts";

const PAGE_RESOURCES = 10_000;

/** A page of what the catalog holds, in the order of the SHA-1s. */
export interface CatalogPage {
  resources: ResourceKey[];
  /** The SHA-1 to ask for the next page with; absent on the last. */
  after?: string;
}

/** @param after the last SHA-1 of the page before, in lower-case hex */
export function pageOf(sql: SqlStorage, after: string | undefined): CatalogPage {
  const rows = sql
    .exec<{ sha1: ArrayBuffer; size: number }>(
      "SELECT sha1, size FROM resources WHERE sha1 > ? AND state < ? ORDER BY sha1 LIMIT ?",
      after === undefined ? new Uint8Array() : sha1Bytes(after),
      STATE.removed,
      PAGE_RESOURCES,
    )
    .toArray();
  const resources = rows.map(({ sha1, size }): ResourceKey => `${sha1Hex(sha1)}:${size}`);
  const last = rows.at(-1);
  return rows.length === PAGE_RESOURCES && last ? { resources, after: sha1Hex(last.sha1) } : { resources };
}
