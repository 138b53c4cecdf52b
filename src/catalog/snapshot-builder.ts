import { INCOMPLETE_ENTRIES_MIN, partName, SNAPSHOT_ENTRIES_MAX } from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import { REMOVAL_KEPT_MS } from "../time/time-guarantees.ts";
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

const SNAPSHOT_LIMITS = {
  /** Resources beyond it are left out. */
  entries: SNAPSHOT_ENTRIES_MAX,
  incompleteEntries: INCOMPLETE_ENTRIES_MIN,
  /** 8 MB. A KV value has at most 25 MiB. */
  entriesPerPart: 1_000_000,
};
/** A scan needs 8 MB of memory for each of its parts, and reads all rows: fewer scans cost more memory. */
const PARTS_PER_SCAN = 2;
/** Hashes are distributed evenly: the entries of a scan have a standard deviation of less than 1,500. */
const SPARE_ENTRIES = 10_000;
const SHA1_MAX = new Uint8Array(20).fill(0xff);
/** Rows that are read without a pause for observations, about 50 ms. */
const ROWS_AT_A_TIME = 20_000;

type SnapshotRow = [...EntryRow, state: number, revision: number];

/**
 * Packs the resources that are present into a snapshot. Each part has a range of the entry hashes. A scan of the table
 * packs two parts, so that the memory of two is enough for any number of resources.
 */
export class SnapshotBuilder {
  readonly #storage: CatalogStorage;
  readonly #objects: PublishedObjects;
  readonly #limits: typeof SNAPSHOT_LIMITS;

  constructor(storage: CatalogStorage, objects: PublishedObjects, limits = SNAPSHOT_LIMITS) {
    this.#storage = storage;
    this.#objects = objects;
    this.#limits = limits;
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
    const id = newObjectId(now);
    const entriesMax = this.#entriesMax();
    const parts = Math.max(1, Math.ceil(entriesMax / this.#limits.entriesPerPart));
    const perPart = Math.ceil(entriesMax / parts);
    const list = new EntryList(secret, Math.min(PARTS_PER_SCAN, parts) * perPart + SPARE_ENTRIES);
    let entries = 0;
    let lastSha1: ArrayBuffer | Uint8Array = SHA1_MAX;
    for (let first = 0; first < parts; first += PARTS_PER_SCAN) {
      const end = Math.min(first + PARTS_PER_SCAN, parts);
      list.restart({ from: first / parts, until: end / parts });
      lastSha1 = await this.#readEntries(list, revision, lastSha1, publishChanges);
      const sorted = list.sorted();
      for (let part = first; part < end; part++) {
        const [from, until] = [part, part + 1].map((at) => share(sorted.length, at - first, end - first));
        const name = partName(id, part);
        const added = sorted.subarray(from, until);
        await this.#objects.write(prefix, name, pack(name, { added, removed: new BigUint64Array() }));
        await publishChanges();
      }
      entries += sorted.length;
      // Everything was forgotten during the build.
      if (this.#storage.state.epoch !== epoch) return;
    }
    if (entries < this.#limits.incompleteEntries && this.#hasEntryAfter(lastSha1, revision)) {
      throw new Error(`only ${entries} of the first ${this.#limits.entries} resources are left`);
    }
    this.#storage.change((draft) => {
      const completedAt = Date.now();
      draft.snapshot.current = { id, entries, parts, revision, builtAt: now, completedAt };
      draft.snapshot.notBefore = now + PACE_MS;
      draft.secret = secret;
      draft.dirtySince ??= completedAt;
      const { sql } = this.#storage;
      // The snapshot lacks the resources that were removed before it.
      const tombstones = "DELETE FROM tombstones WHERE prefix = ? AND has_key = 0 AND revision <= ?";
      sql.exec(tombstones, prefix, revision);
      // The delta needs later removals. To look for expired ones reads them all, so it is only done here.
      const removals = "DELETE FROM resources WHERE state = ? AND revision <= ? AND observed_at < ?";
      sql.exec(removals, ROW_STATE.removed, revision, completedAt - REMOVAL_KEPT_MS);
    });
  }

  /**
   * Adds the entries of the catalog as of a revision, while observations are recorded. A later change has a later
   * revision: the delta has it, whether or not the scan has read it.
   *
   * @param lastSha1 where the first scan of this snapshot ended, so that all scans read the same resources
   * @returns where this scan ended
   */
  async #readEntries(
    list: EntryList,
    revision: number,
    lastSha1: ArrayBuffer | Uint8Array,
    publishChanges: () => Promise<void>,
  ): Promise<ArrayBuffer> {
    const query = `SELECT sha1, size, state, revision FROM resources
      WHERE sha1 > ? AND sha1 <= ? ORDER BY sha1 LIMIT ?`;
    let after = new ArrayBuffer(0);
    let read = 0;
    while (read < this.#limits.entries) {
      const limit = Math.min(ROWS_AT_A_TIME, this.#limits.entries - read);
      const page = this.#storage.sql.exec(query, after, lastSha1, limit).raw<SnapshotRow>();
      let rows = 0;
      for (const [sha1, size, state, changedAt] of page) {
        rows += 1;
        after = sha1;
        if (state === ROW_STATE.removed || changedAt > revision) continue;
        list.add([sha1, size]);
        read += 1;
      }
      if (rows === 0) break;
      await scheduler.wait(0);
      await publishChanges();
    }
    return after;
  }

  #hasEntries(): boolean {
    const query = "SELECT 1 FROM resources WHERE state < ? LIMIT 1";
    return this.#storage.sql.exec(query, ROW_STATE.removed).toArray().length > 0;
  }

  /** At least the number of the delta's entries. Counting them would be billed row by row. */
  #changesSinceSnapshot(): number {
    const { revision, emptyRevision, snapshot } = this.#storage.state;
    return revision - (snapshot.current?.revision ?? emptyRevision);
  }

  /** Whether the snapshot has left out a resource. */
  #hasEntryAfter(sha1: ArrayBuffer | Uint8Array, revision: number): boolean {
    const query = "SELECT 1 FROM resources WHERE sha1 > ? AND state < ? AND revision <= ? LIMIT 1";
    return this.#storage.sql.exec(query, sha1, ROW_STATE.removed, revision).toArray().length > 0;
  }

  /** An upper bound: each change adds at most one entry. */
  #entriesMax(): number {
    const entries = this.#storage.state.snapshot.current?.entries ?? 0;
    return Math.min(entries + this.#changesSinceSnapshot(), this.#limits.entries);
  }
}

/** The end of the first `count` of `total` shares of a length. */
function share(length: number, count: number, total: number): number {
  return Math.round((length * count) / total);
}
