import { keyValueStore } from "../cache/key-value-store.ts";
import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../observability/log.ts";
import type { CatalogStorage } from "./catalog-storage.ts";
import { KeyWriter } from "./key-writer.ts";
import { ManifestWriter, manifestDueAt, retirementDueAt } from "./manifest-writer.ts";
import { PublishedObjects, type StoreOf } from "./published-objects.ts";
import { earliest, isDue } from "./schedule.ts";
import { SnapshotBuilder } from "./snapshot-builder.ts";

/**
 * The free plan allows 1,000 operations on KV per alarm; snapshot, manifest and deletions take the others.
 */
const KEY_OPERATIONS_PER_ALARM = 900;
const DELETIONS_PER_ALARM = 50;
/** The shortest time between two alarms. */
const PAUSE_MS = 1_000;
const FAILED_PAUSE_MS = 10_000;

/**
 * Publishes the catalog to Workers KV. One run of the catalog's alarm does what is due. A step that fails
 * ends the run; the next alarm starts again from the tables. So each step may fail, or run twice:
 *
 * 1. Record the name of a new delta, or of a part of a new snapshot, in `published_objects`. Names are never
 *    used twice. If the object is reset now, the name has no value in KV, and is deleted like any other.
 * 2. Write the delta, or all parts of the snapshot. If a write fails, no manifest names the object. The next
 *    run writes another one. If everything was forgotten during the write (`epoch`), the object is not used.
 * 3. Set `isWriteUncertain`, and write the manifest, which names only stored objects (R1.5). If the write
 *    fails or the object is reset, the manifest is written again, and every ten seconds for two minutes: the
 *    failed write may still land, over a later one.
 * 4. Record in one transaction what the manifest has, and mark the objects that it does not name as
 *    superseded. If the object is reset before this, the manifest is written again (step 3).
 * 5. Delete superseded objects after an hour: until then a reader may have an older manifest. If a deletion
 *    fails, it is repeated.
 * 6. Delete the key of a removed resource 20 minutes after the removal, when no earlier write of it can land.
 *    Its tombstone stays in the delta for 25 hours more, because the caches of KV may serve the key for so
 *    long (R1.4).
 * 7. Write missing keys: set `keyBegun`, write the key, set `keyWritten`. A key of state `keyBegun` counts as
 *    existing if its resource is removed, and is written again otherwise.
 */
export class Publisher {
  readonly #storage: CatalogStorage;
  readonly #log: Log;
  readonly #objects: PublishedObjects;
  readonly #manifest: ManifestWriter;
  readonly #snapshots: SnapshotBuilder;
  readonly #keys: KeyWriter;

  constructor(storage: CatalogStorage, { cache, keysPerDay }: Configuration, log: Log) {
    const storeOf: StoreOf = (prefix) => keyValueStore(cache, prefix);
    this.#storage = storage;
    this.#log = log;
    this.#objects = new PublishedObjects(storage.sql, storeOf);
    this.#manifest = new ManifestWriter(storage, this.#objects, storeOf);
    this.#snapshots = new SnapshotBuilder(storage, this.#objects);
    this.#keys = new KeyWriter(storage, storeOf, keysPerDay);
  }

  /**
   * Does what is due. If a step fails, KV is most likely unavailable: the others wait for the next alarm.
   *
   * @returns whether all steps succeeded
   */
  async run(now: number): Promise<boolean> {
    const writeManifest = () => this.#writeManifestIfDue();
    // An import is published by its snapshot alone, without a delta.
    const isImport = this.#snapshots.isImportDue(now);
    const writeDelta = isImport ? async () => {} : writeManifest;
    const steps: [name: string, run: () => Promise<void>][] = [
      ["retire", () => this.#manifest.retireFormerPrefixes(now)],
      ["manifest", writeDelta],
      ["snapshot", () => this.#buildSnapshotIfDue(writeDelta)],
      ["manifest", writeManifest],
      ["delete", () => this.#objects.deleteSuperseded(Date.now(), DELETIONS_PER_ALARM)],
      ["keys", () => this.#keys.work(Date.now(), KEY_OPERATIONS_PER_ALARM, writeManifest)],
    ];
    for (const [step, run] of steps) {
      try {
        await run();
      } catch (error) {
        this.#log.error("catalog-step-failed", { step, cause: causeOf(error) });
        return false;
      }
    }
    return true;
  }

  /** When the next run is due, in ms since the epoch. */
  dueAt(hasFailed: boolean): number {
    const now = Date.now();
    const state = this.#storage.state;
    const others = earliest(
      retirementDueAt(state, now),
      this.#snapshots.dueAt(now),
      state.suspension?.until ?? null,
      this.#objects.deletionDueAt(),
      this.#keys.dueAt(now),
    );
    const manifestAt = manifestDueAt(state, now);
    const first = others === null ? manifestAt : Math.min(manifestAt, others);
    return Math.max(first, now + (hasFailed ? FAILED_PAUSE_MS : PAUSE_MS));
  }

  async #writeManifestIfDue(): Promise<void> {
    const now = Date.now();
    if (manifestDueAt(this.#storage.state, now) <= now) await this.#manifest.write(now);
  }

  async #buildSnapshotIfDue(publishChanges: () => Promise<void>): Promise<void> {
    const now = Date.now();
    if (isDue(this.#snapshots.dueAt(now), now)) await this.#snapshots.build(now, publishChanges);
  }
}
