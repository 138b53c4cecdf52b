import { partName, SNAPSHOT_ENTRIES_MAX } from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import { type CatalogStorage, newSecret, ROW_STATE } from "./catalog-storage.ts";
import { EntryList, type EntryRow } from "./entry-list.ts";
import { newObjectId, type PublishedObjects } from "./published-objects.ts";
import { NEVER } from "./times.ts";

/** A new snapshot is due when the delta has this share of its entries … */
const DELTA_SHARE = 1 / 20;
/** … and at least so many, 32 KB. */
const DELTA_MIN = 4_096;
/** The time between two snapshots while a pool is imported. */
const PACE_MS = 60_000;
/** A snapshot of this age is replaced in any case. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const FAILED_PAUSE_MS = 5 * 60 * 1000;
/**
 * More changes than a twentieth of any snapshot. To pack them takes longer than to pack the snapshot, and a
 * delta of 3,200,000 entries does not fit into a KV value.
 */
const IMPORT_MIN = 500_000;

/** 8 MB. A KV value has at most 25 MiB; readers load all parts at the same time. */
const ENTRIES_PER_PART = 1_000_000;
/** Rows that are read without a pause for observations, about 50 ms. */
const ROWS_AT_A_TIME = 20_000;

type SnapshotRow = [...EntryRow, state: number, revision: number];

/** Packs the resources that are present into a snapshot. */
export class SnapshotBuilder {
  readonly #storage: CatalogStorage;
  readonly #objects: PublishedObjects;

  constructor(storage: CatalogStorage, objects: PublishedObjects) {
    this.#storage = storage;
    this.#objects = objects;
  }

  /** When the next snapshot is to be built, in ms since the epoch; NEVER if it would be empty. */
  dueAt(now: number): number {
    const { current, requestedAt, notBefore } = this.#storage.state.snapshot;
    const first = Math.max(now, notBefore ?? now);
    const isRequested = requestedAt !== null && (current === null || current.builtAt <= requestedAt);
    const isDeltaLarge =
      this.#changesSinceSnapshot() >= Math.max(DELTA_MIN, (current?.entries ?? 0) * DELTA_SHARE);
    if (isRequested || isDeltaLarge) return first;
    if (!this.#hasEntries()) return NEVER;
    return current === null ? first : Math.max(first, current.builtAt + MAX_AGE_MS);
  }

  /** Whether a snapshot is due that publishes an import without a delta. */
  isImportDue(now: number): boolean {
    return this.dueAt(now) <= now && this.#changesSinceSnapshot() > IMPORT_MIN;
  }

  /**
   * Writes the parts of a new snapshot if it is due. The next manifest names it.
   *
   * @param publishChanges is called between steps, so that changes do not wait for the snapshot
   */
  async buildIfDue(publishChanges: () => Promise<void>): Promise<void> {
    const now = Date.now();
    if (this.dueAt(now) > now) return;
    this.#storage.change(({ snapshot }) => {
      snapshot.notBefore = now + FAILED_PAUSE_MS;
    });
    const { prefix, epoch, revision } = this.#storage.state;
    const secret = newSecret();
    const entries = await this.#readEntries(revision, secret, publishChanges);
    const id = newObjectId(now);
    const parts = Math.ceil(entries.length / ENTRIES_PER_PART);
    const removed = new BigUint64Array();
    for (let part = 0; part < parts; part++) {
      const added = entries.subarray(part * ENTRIES_PER_PART, (part + 1) * ENTRIES_PER_PART);
      const name = partName(id, part);
      await this.#objects.write(prefix, name, pack(name, { added, removed }));
      if (part < parts - 1) await publishChanges();
    }
    // Everything was forgotten during the build.
    if (this.#storage.state.epoch !== epoch) return;
    this.#storage.change((draft) => {
      const completedAt = Date.now();
      draft.snapshot.current = { id, entries: entries.length, parts, revision, builtAt: now, completedAt };
      draft.snapshot.notBefore = now + PACE_MS;
      draft.secret = secret;
      draft.dirtySince ??= completedAt;
      // The snapshot lacks the resources that were removed before it.
      const query = "DELETE FROM tombstones WHERE prefix = ? AND has_key = 0 AND revision <= ?";
      this.#storage.sql.exec(query, prefix, revision);
    });
  }

  /**
   * Reads the catalog as of a revision, while observations are recorded. A later change has a later revision:
   * the delta has it, whether or not the scan has read it.
   */
  async #readEntries(
    revision: number,
    secret: string,
    publishChanges: () => Promise<void>,
  ): Promise<BigUint64Array<ArrayBuffer>> {
    const list = new EntryList(secret, Math.min(this.#countRows(), SNAPSHOT_ENTRIES_MAX));
    const query = "SELECT sha1, size, state, revision FROM resources WHERE sha1 > ? ORDER BY sha1 LIMIT ?";
    let after = new ArrayBuffer(0);
    while (list.count < SNAPSHOT_ENTRIES_MAX) {
      const limit = Math.min(ROWS_AT_A_TIME, SNAPSHOT_ENTRIES_MAX - list.count);
      const page = this.#storage.sql.exec(query, after, limit).raw<SnapshotRow>();
      let rows = 0;
      for (const [sha1, size, state, changedAt] of page) {
        rows += 1;
        after = sha1;
        if (state !== ROW_STATE.removed && changedAt <= revision) list.add([sha1, size]);
      }
      if (rows === 0) break;
      await scheduler.wait(0);
      await publishChanges();
    }
    return list.sorted();
  }

  #hasEntries(): boolean {
    const query = "SELECT 1 FROM resources WHERE state < ? LIMIT 1";
    return this.#storage.sql.exec(query, ROW_STATE.removed).toArray().length > 0;
  }

  /** An estimate of the delta's entries, because counting them would be billed row by row. */
  #changesSinceSnapshot(): number {
    const { revision, emptyRevision, snapshot } = this.#storage.state;
    return revision - (snapshot.current?.revision ?? emptyRevision);
  }

  #countRows(): number {
    return this.#storage.sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM resources").one().count;
  }
}
