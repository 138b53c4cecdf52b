import type { CatalogState } from "./catalog-state.ts";
import type { Refusals } from "./observations.ts";
import type { Suspension } from "./suspension.ts";
import { PRESENT_STATES, STATE } from "./tables.ts";

/** What the catalog says of itself. */
export interface CatalogStatus {
  /** Resources that it holds. */
  entries: number;
  /** Those of them whose key is not written yet. */
  keysWaiting: number;
  /** Removed resources that it remembers. */
  removalsRemembered: number;
  /** The manifest that was written last; times in ISO 8601. */
  published: { at: string; delta: { added: number; removed: number } } | null;
  snapshot: { id: string; entries: number; parts: number; builtAt: string } | null;
  /** ISO 8601: until then only the Cloud Controller answers; null where the cache counts. */
  suspendedUntil: string | null;
  /** ISO 8601: since when something has changed that is not published yet; null where all is. */
  dirtySince: string | null;
  refused: Refusals;
}

export function statusOf(sql: SqlStorage, memory: CatalogState, suspension: Suspension): CatalogStatus {
  const query = "SELECT state, COUNT(*) AS count FROM resources GROUP BY state";
  const rows = sql.exec<{ state: number; count: number }>(query).toArray();
  const counts = new Map(rows.map(({ state, count }) => [state, count]));
  const entries = PRESENT_STATES.reduce((sum, state) => sum + (counts.get(state) ?? 0), 0);
  const published = memory.get("published");
  const snapshot = memory.get("snapshot");
  const dirtySince = memory.get("dirtySince");
  const suspendedUntil = suspension.until(Date.now());
  return {
    entries,
    keysWaiting: entries - (counts.get(STATE.keyed) ?? 0),
    removalsRemembered: counts.get(STATE.removed) ?? 0,
    published: published && {
      at: new Date(published.at).toISOString(),
      delta: { added: published.delta?.added ?? 0, removed: published.delta?.removed ?? 0 },
    },
    snapshot: snapshot && {
      id: snapshot.id,
      entries: snapshot.entries,
      parts: snapshot.parts,
      builtAt: new Date(snapshot.builtAt).toISOString(),
    },
    suspendedUntil: suspendedUntil === undefined ? null : new Date(suspendedUntil).toISOString(),
    dirtySince: dirtySince === null ? null : new Date(dirtySince).toISOString(),
    refused: memory.get("refused"),
  };
}
