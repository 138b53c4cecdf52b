import { type KeyValueStore, keyValueStore } from "../cache/key-value-store.ts";
import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../observability/log.ts";
import type { CatalogState } from "./catalog-state.ts";
import { KeyWriter } from "./key-writer.ts";
import { ManifestWriter } from "./manifest-writer.ts";
import { PublishedObjects } from "./published-objects.ts";
import { retire, retireAt } from "./retirement.ts";
import { SnapshotBuilder } from "./snapshot-builder.ts";
import type { Suspension } from "./suspension.ts";

/** The free plan allows an alarm 1,000 operations on KV; a snapshot, a manifest and what they supersede take some. */
const KEY_OPERATIONS_PER_ALARM = 900;
const CLEARED_PER_ALARM = 50;
/** Between two alarms, at least; and where something has failed. */
const PAUSE_MS = 1_000;
const FAILED_PAUSE_MS = 10_000;

/** Brings Workers KV up to the catalog, a step after the other: what the catalog's alarm does. */
export class Publisher {
  readonly #sql: SqlStorage;
  readonly #memory: CatalogState;
  readonly #suspension: Suspension;
  readonly #log: Log;
  readonly #values: PublishedObjects;
  readonly #manifest: ManifestWriter;
  readonly #snapshots: SnapshotBuilder;

  constructor(sql: SqlStorage, memory: CatalogState, suspension: Suspension, log: Log) {
    this.#sql = sql;
    this.#memory = memory;
    this.#suspension = suspension;
    this.#log = log;
    this.#values = new PublishedObjects(sql);
    this.#manifest = new ManifestWriter(sql, memory, this.#values, suspension);
    this.#snapshots = new SnapshotBuilder(sql, memory, this.#values);
  }

  /** When the next manifest is due, in ms since the epoch. */
  manifestDueAt(): number {
    return this.#manifest.dueAt();
  }

  /**
   * Does what is due, the urgent first. What fails is logged, most likely has KV unwell, and ends the work: the next
   * alarm begins with what is urgent.
   *
   * @returns whether nothing has failed
   */
  async work({ cache, keysPerDay }: Configuration, now: number): Promise<boolean> {
    const storeOf = (prefix: string) => keyValueStore(cache, prefix);
    const point = () => this.#pointIfDue(storeOf);
    const keys = new KeyWriter(this.#sql, this.#memory, keysPerDay);
    // The snapshot tells of an import by itself.
    const isImport = this.#snapshots.isImportDue(now);
    const steps: [string, () => Promise<unknown>][] = [
      ["retire", () => retire(this.#memory, this.#values, storeOf, now)],
      ["publish", async () => isImport || point()],
      ["snapshot", () => this.#buildIfDue(storeOf, isImport ? async () => {} : point)],
      ["publish", point],
      ["clear", () => this.#values.clear(storeOf, Date.now(), CLEARED_PER_ALARM)],
      ["keys", () => keys.work(storeOf, Date.now(), KEY_OPERATIONS_PER_ALARM, point)],
    ];
    for (const [step, work] of steps) {
      try {
        await work();
      } catch (error) {
        this.#log.error("catalog-step-failed", { step, cause: causeOf(error) });
        return false;
      }
    }
    return true;
  }

  /** When there is something to do again, in ms since the epoch. */
  nextAt({ keysPerDay }: Configuration, hasFailed: boolean): number {
    const now = Date.now();
    const due = [
      retireAt(this.#memory),
      this.#manifest.dueAt(),
      this.#snapshots.dueAt(),
      this.#suspension.endsAt(),
      this.#values.clearAt(),
      new KeyWriter(this.#sql, this.#memory, keysPerDay).dueAt(now),
    ];
    return Math.max(Math.min(...due), now + (hasFailed ? FAILED_PAUSE_MS : PAUSE_MS));
  }

  async #pointIfDue(storeOf: (prefix: string) => KeyValueStore): Promise<void> {
    const now = Date.now();
    if (this.#manifest.dueAt() <= now) await this.#manifest.write(storeOf, now);
  }

  async #buildIfDue(storeOf: (prefix: string) => KeyValueStore, between: () => Promise<void>): Promise<void> {
    const now = Date.now();
    if (this.#snapshots.dueAt() <= now) await this.#snapshots.build(storeOf, now, between);
  }
}
