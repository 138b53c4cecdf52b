import { keyValueStore } from "../cache/key-value-store.ts";
import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../observability/log.ts";
import type { CatalogStorage } from "./catalog-storage.ts";
import type { DeltaReader } from "./delta-reader.ts";
import { KeyWriter } from "./key-writer.ts";
import { ManifestWriter, manifestDueAt, retirementDueAt } from "./manifest-writer.ts";
import { PublishedObjects, type StoreOf } from "./published-objects.ts";
import { SnapshotBuilder } from "./snapshot-builder.ts";
import { NEVER } from "./times.ts";

/** The shortest time between two alarms. */
const PAUSE_MS = 1_000;
const FAILED_PAUSE_MS = 10_000;

/**
 * Publishes the catalog to Workers KV. Each run of the catalog's alarm does what is due. A step that fails
 * ends the run, and a later run repeats it from the tables. The catalog may also be reset in any step:
 *
 * 1. Record the name of a new delta or part of a snapshot in `published_objects`. Names are never used twice.
 *    If nothing is written under the name, step 5 deletes it like any other.
 * 2. Write the delta, or all parts of the snapshot. If a write fails, no manifest names the delta or snapshot,
 *    and the next run writes another one. The same happens if everything was forgotten during the writes.
 * 3. Set `isWriteUncertain`, and write the manifest. It names only stored objects (R1.5). If the write fails,
 *    the next run writes the manifest again, and for two minutes every ten seconds: the failed write may still
 *    land, over a later one.
 * 4. In one transaction, record the content of the manifest, and mark all other objects as superseded. If the
 *    catalog is reset before, `isWriteUncertain` is still set: the next run does step 3.
 * 5. Delete objects that were superseded an hour ago: until then a reader may have an older manifest.
 * 6. Delete the key of a removed resource 20 minutes after the removal: no write of the key can still land then.
 *    The delta lists the removal for 25 more hours, while caches of KV may serve the key (R1.4).
 * 7. Write missing keys: set `keyBegun`, write the key, set `keyWritten`. After a failure the key may exist: if
 *    the resource is removed, it gets a tombstone with `has_key`; otherwise the next run writes it again.
 */
export class Publisher {
  readonly #storage: CatalogStorage;
  readonly #log: Log;
  readonly #objects: PublishedObjects;
  readonly #manifest: ManifestWriter;
  readonly #snapshots: SnapshotBuilder;
  readonly #keys: KeyWriter;

  /** @param delta of the instance, because it keeps the last delta in memory */
  constructor(storage: CatalogStorage, delta: DeltaReader, { cache, keysPerDay }: Configuration, log: Log) {
    const storeOf: StoreOf = (prefix) => keyValueStore(cache, prefix);
    this.#storage = storage;
    this.#log = log;
    this.#objects = new PublishedObjects(storage.sql, storeOf);
    this.#manifest = new ManifestWriter(storage, this.#objects, delta, storeOf);
    this.#snapshots = new SnapshotBuilder(storage, this.#objects);
    this.#keys = new KeyWriter(storage, storeOf, keysPerDay);
  }

  /**
   * Does what is due. If a step fails, KV is most likely unavailable: the others wait for the next alarm.
   *
   * @returns when the next run is due, in ms since the epoch
   */
  async run(now: number): Promise<number> {
    const writeManifest = () => this.#manifest.writeIfDue();
    // An import is published by its snapshot alone, without a delta.
    const isImport = this.#snapshots.isImportDue(now);
    const writeDelta = isImport ? async () => {} : writeManifest;
    const steps: [name: string, run: () => Promise<void>][] = [
      ["retire", () => this.#manifest.retireFormerPrefixes(now)],
      ["manifest", writeDelta],
      ["snapshot", () => this.#snapshots.buildIfDue(writeDelta)],
      ["manifest", writeManifest],
      ["delete", () => this.#objects.deleteSuperseded()],
      ["keys", () => this.#keys.work(writeManifest)],
    ];
    for (const [step, run] of steps) {
      try {
        await run();
      } catch (error) {
        this.#log.error("catalog-step-failed", { step, cause: causeOf(error) });
        return this.#nextRunAt(FAILED_PAUSE_MS);
      }
    }
    return this.#nextRunAt(PAUSE_MS);
  }

  #nextRunAt(pauseMs: number): number {
    const now = Date.now();
    const state = this.#storage.state;
    const first = Math.min(
      manifestDueAt(state, now),
      retirementDueAt(state, now),
      this.#snapshots.dueAt(now),
      state.suspension?.until ?? NEVER,
      this.#objects.deletionDueAt(),
      this.#keys.dueAt(now),
    );
    return Math.max(first, now + pauseMs);
  }
}
