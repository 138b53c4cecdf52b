import type { SnapshotStore } from "../../resource-pool/snapshot/store.ts";
import type { Pool } from "./pool.ts";

/** A pool as a place where snapshots are built. */
export function snapshotStore(pool: Pool): SnapshotStore {
  const listings = new Map<string, AsyncIterator<string[]>>();
  return {
    get: (name) => pool.get(name),
    // A part at a time: together they may be more than one write takes.
    put: (name, value) => pool.put([{ key: name, value }]),
    delete: (names) => pool.delete(names),
    async list(prefix, cursor) {
      const listing = listings.get(cursor ?? "") ?? pool.list(prefix)[Symbol.asyncIterator]();
      const { done, value } = await listing.next();
      listings.delete(cursor ?? "");
      if (done) return { names: [] };
      const next = cursor ?? crypto.randomUUID();
      listings.set(next, listing);
      return { names: value, cursor: next };
    },
  };
}
