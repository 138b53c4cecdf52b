import type { ResourceKey } from "../resources/resource-key.ts";
import { sha1Bytes, sha1Hex } from "../resources/sha1.ts";
import type { CatalogPage, CatalogStatus } from "./catalog-api.ts";
import { type CatalogStorage, ROW_STATE } from "./catalog-storage.ts";
import { removedSinceSuspension, suspendedUntil } from "./suspension.ts";
import { isoTime } from "./times.ts";

const PAGE_RESOURCES = 10_000;

/** @param after the last SHA-1 of the previous page, in lower-case hex */
export function readPage({ sql }: CatalogStorage, after: string | undefined): CatalogPage {
  const query = "SELECT sha1, size FROM resources WHERE sha1 > ? AND state < ? ORDER BY sha1 LIMIT ?";
  const start = after === undefined ? new Uint8Array() : sha1Bytes(after);
  const rows = sql
    .exec<{ sha1: ArrayBuffer; size: number }>(query, start, ROW_STATE.removed, PAGE_RESOURCES)
    .toArray();
  const resources = rows.map(({ sha1, size }): ResourceKey => `${sha1Hex(sha1)}:${size}`);
  const last = rows.at(-1);
  return rows.length === PAGE_RESOURCES && last ? { resources, after: sha1Hex(last.sha1) } : { resources };
}

export function readStatus({ sql, state }: CatalogStorage, now: number): CatalogStatus {
  const query = "SELECT state, COUNT(*) AS count FROM resources GROUP BY state";
  const rows = sql.exec<{ state: number; count: number }>(query).toArray();
  const counts = new Map(rows.map(({ state, count }) => [state, count]));
  const removals = counts.get(ROW_STATE.removed) ?? 0;
  const entries = rows.reduce((sum, { count }) => sum + count, 0) - removals;
  const { published } = state.manifest;
  const snapshot = state.snapshot.current;
  return {
    entries,
    keys_waiting: entries - (counts.get(ROW_STATE.keyWritten) ?? 0),
    removals,
    published: published && {
      at: new Date(published.at).toISOString(),
      delta: { added: published.delta?.added ?? 0, removed: published.delta?.removed ?? 0 },
    },
    snapshot: snapshot && {
      id: snapshot.id,
      entries: snapshot.entries,
      parts: snapshot.parts,
      built_at: new Date(snapshot.builtAt).toISOString(),
    },
    suspended_until: isoTime(suspendedUntil(state, now)),
    forgotten_at: isoTime(state.forgottenAt),
    removed_since_suspension: removedSinceSuspension(state, now),
    dirty_since: isoTime(state.dirtySince),
    refused: state.refused,
  };
}
