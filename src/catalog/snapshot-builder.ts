import type { KeyValueStore } from "../cache/key-value-store.ts";
import { partName, SNAPSHOT_ENTRIES_MAX } from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import { type CatalogState, UNPUBLISHED } from "./catalog-state.ts";
import { EntryList, type ResourceRow } from "./entry-list.ts";
import { newId, newSecret } from "./ids.ts";
import type { PublishedObjects } from "./published-objects.ts";
import { STATE } from "./tables.ts";

/** A new snapshot is due when the delta have grown to this part of it … */
const CHANGES_PART = 1 / 20;
/** … but are so many at least, 32 KB … */
const CHANGES_MIN = 4_096;
/** … and not again at once, while a pool is imported; */
const PACE_MS = 60_000;
/** once a day in any case. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const FAILED_PAUSE_MS = 5 * 60 * 1000;
/**
 * More delta than a twentieth of any snapshot: packing them takes longer than packing the snapshot, and KV takes no
 * value of 3,200,000.
 */
const IMPORT_MIN = 500_000;

/** A KV value takes 25 MiB; parts of 8 MB are loaded at once. */
const ENTRIES_PER_PART = 1_000_000;
/** Rows between which observations get their turn, about 50 ms. */
const ROWS_AT_A_TIME = 20_000;

/** Packs what the catalog holds into a snapshot. */
export class SnapshotBuilder {
  readonly #sql: SqlStorage;
  readonly #memory: CatalogState;
  readonly #values: PublishedObjects;

  constructor(sql: SqlStorage, memory: CatalogState, values: PublishedObjects) {
    this.#sql = sql;
    this.#memory = memory;
    this.#values = values;
  }

  /** When the next snapshot is due, in ms since the epoch. */
  dueAt(): number {
    const notBefore = this.#memory.get("snapshotNotBefore");
    const { entries, builtAt } = this.#memory.get("snapshot") ?? { entries: 0, builtAt: 0 };
    if (builtAt <= this.#memory.get("snapshotWantedAt")) return notBefore;
    if (this.#changesSinceSnapshot() >= Math.max(CHANGES_MIN, entries * CHANGES_PART)) return notBefore;
    return this.#hasEntries() ? Math.max(notBefore, builtAt + MAX_AGE_MS) : Number.POSITIVE_INFINITY;
  }

  /** Whether a snapshot is due that is to tell of an import, in place of delta. */
  isImportDue(now: number): boolean {
    return this.dueAt() <= now && this.#changesSinceSnapshot() > IMPORT_MIN;
  }

  /**
   * Writes the parts of a new snapshot, which the next manifest names.
   *
   * @param between what must not wait for all of it
   */
  async build(
    storeOf: (prefix: string) => KeyValueStore,
    now: number,
    between: () => Promise<void>,
  ): Promise<void> {
    const memory = this.#memory;
    const [prefix, epoch, revision] = [memory.get("prefix"), memory.get("epoch"), memory.get("revision")];
    memory.set({ snapshotNotBefore: now + FAILED_PAUSE_MS });
    const store = storeOf(prefix);
    const secret = newSecret();
    const entries = await this.#entriesUntil(revision, secret, between);
    const id = newId(now);
    const parts = Math.ceil(entries.length / ENTRIES_PER_PART);
    const removed = new BigUint64Array();
    for (let part = 0; part < parts; part++) {
      const added = entries.subarray(part * ENTRIES_PER_PART, (part + 1) * ENTRIES_PER_PART);
      const name = partName(id, part);
      await this.#values.write(store, prefix, name, pack(name, { added, removed }));
      if (part < parts - 1) await between();
    }
    // What was scanned is forgotten by now.
    if (memory.get("epoch") !== epoch) return;
    const snapshot = { id, entries: entries.length, parts, revision, builtAt: now };
    const published = memory.get("published");
    memory.set({ published: published && { ...published, revision: UNPUBLISHED } });
    memory.markDirty(Date.now());
    memory.set({ snapshot, secret, snapshotNotBefore: now + PACE_MS });
    // It lacks what had departed before, and so need the delta.
    this.#sql.exec("DELETE FROM departed WHERE prefix = ? AND keyed = 0 AND revision <= ?", prefix, revision);
  }

  /**
   * The catalog as of a revision, while observations go on: what has changed since bears a later revision, and is told
   * by the delta, whether the scan has met it or not.
   */
  async #entriesUntil(
    revision: number,
    secret: string,
    between: () => Promise<void>,
  ): Promise<BigUint64Array<ArrayBuffer>> {
    const list = new EntryList(secret, Math.min(this.#rows(), SNAPSHOT_ENTRIES_MAX));
    let after = new ArrayBuffer(0);
    while (list.count < SNAPSHOT_ENTRIES_MAX) {
      const page = this.#sql
        .exec(
          "SELECT sha1, size, state, revision FROM resources WHERE sha1 > ? ORDER BY sha1 LIMIT ?",
          after,
          Math.min(ROWS_AT_A_TIME, SNAPSHOT_ENTRIES_MAX - list.count),
        )
        .raw<[...ResourceRow, state: number, revision: number]>();
      let rows = 0;
      for (const [sha1, size, state, heldSince] of page) {
        rows += 1;
        after = sha1;
        if (state !== STATE.removed && heldSince <= revision) list.add([sha1, size]);
      }
      if (rows === 0) break;
      await scheduler.wait(0);
      await between();
    }
    return list.sorted();
  }

  #hasEntries(): boolean {
    const query = "SELECT 1 FROM resources WHERE state < ? LIMIT 1";
    return this.#sql.exec(query, STATE.removed).toArray().length > 0;
  }

  /** Changes since the snapshot, a file that came and went twice; to count entries each time would be billed row by row. */
  #changesSinceSnapshot(): number {
    const since = this.#memory.get("snapshot")?.revision ?? this.#memory.get("emptyRevision");
    return this.#memory.get("revision") - since;
  }

  #rows(): number {
    return this.#sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM resources").one().count;
  }
}
