import type { PackedValue } from "../cache/packed-value.ts";
import { TOMBSTONE_KEPT_MS } from "../time/time-guarantees.ts";
import type { CatalogState } from "./catalog-state.ts";
import { EntryList, type ResourceRow } from "./entry-list.ts";
import { PRESENT_STATES } from "./tables.ts";

/** More keys of departed resources than these, 4 MB, are not overruled one by one: then no key counts. */
const OVERRULED_KEYS_MAX = 500_000;

/** What has changed since the snapshot, out of the catalog's tables. */
export class DeltaReader {
  readonly #sql: SqlStorage;
  readonly #memory: CatalogState;

  constructor(sql: SqlStorage, memory: CatalogState) {
    this.#sql = sql;
    this.#memory = memory;
  }

  /** Whether readers may believe keys: what has departed from under them is overruled one by one. */
  areKeysTrusted(prefix: string): boolean {
    const query = "SELECT COUNT(*) AS count FROM departed WHERE prefix = ? AND keyed = 1";
    return this.#sql.exec<{ count: number }>(query, prefix).one().count <= OVERRULED_KEYS_MAX;
  }

  /**
   * @param revision of the snapshot
   * @param secret 16 bytes in hex
   */
  since(revision: number, secret: string, prefix: string, areKeysTrusted: boolean): PackedValue {
    const added = new EntryList(secret);
    const removed = new EntryList(secret);
    for (const state of PRESENT_STATES) {
      const query = "SELECT sha1, size FROM resources WHERE state = ? AND revision > ?";
      for (const row of this.#sql.exec(query, state, revision).raw<ResourceRow>()) added.add(row);
    }
    // A key that is not gone everywhere is to be overruled, however long ago its resource departed.
    const query = "SELECT sha1, size FROM departed WHERE prefix = ? AND (revision > ? OR keyed = ?)";
    // Where there is no snapshot and no key counts, nothing is left to overrule.
    const since = areKeysTrusted || this.#memory.get("snapshot") ? revision : Number.MAX_SAFE_INTEGER;
    const keyed = areKeysTrusted ? 1 : -1;
    for (const row of this.#sql.exec(query, prefix, since, keyed).raw<ResourceRow>()) removed.add(row);
    return { added: added.sorted(), removed: removed.sorted() };
  }

  /** @returns how many removals need not be told any more: no cached key can outlive them, and the snapshot lacks them */
  dropOutlived(now: number): number {
    const { revision } = this.#memory.get("snapshot") ?? { revision: Number.MAX_SAFE_INTEGER };
    const query =
      "DELETE FROM departed WHERE deleted_at < ? AND (prefix <> ? OR revision <= ?) RETURNING size";
    const outlived = now - TOMBSTONE_KEPT_MS;
    return this.#sql.exec(query, outlived, this.#memory.get("prefix"), revision).toArray().length;
  }
}
