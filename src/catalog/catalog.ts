import { DurableObject } from "cloudflare:workers";
import { type Configuration, configurationOf, type Env } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf, createLog } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import type { ObservationsResult } from "../operator-api/responses.ts";
import { cachePrefix } from "../placement/placement.ts";
import { PUBLISHED_AFTER_MS } from "../time/time-guarantees.ts";
import type { CatalogApi, CatalogPage, CatalogStatus, Rejections } from "./catalog-api.ts";
import { readPage, readStatus } from "./catalog-queries.ts";
import { CatalogStorage, type StoredState } from "./catalog-storage.ts";
import { DeltaReader } from "./delta-reader.ts";
import { Ledger } from "./ledger.ts";
import { manifestDueAt } from "./manifest-writer.ts";
import { OBSERVATIONS_MAX, type Observations } from "./observations.ts";
import { Publisher } from "./publisher.ts";
import { ResourceTables } from "./resource-tables.ts";
import { judgeRejections, recordMatch, recordRepair } from "./suspension.ts";

/** If an alarm dies and the platform does not retry it, another one runs after this time. */
const SAFETY_MS = 60_000;
const MISCONFIGURED_PAUSE_MS = 5 * 60 * 1000;

/**
 * The single writer of the cache: a Durable Object. Its methods record observations of the resource pool; its
 * alarm publishes them to Workers KV.
 */
export class Catalog extends DurableObject<Env> implements CatalogApi {
  readonly #storage: CatalogStorage;
  readonly #tables: ResourceTables;
  readonly #ledger: Ledger;
  readonly #delta: DeltaReader;
  readonly #log = createLog({ object: "catalog" });
  /** When the next alarm runs, in ms since the epoch; null if this instance has not set it. */
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = new CatalogStorage(ctx.storage);
    this.#tables = new ResourceTables(ctx.storage.sql);
    this.#ledger = new Ledger(this.#tables);
    this.#delta = new DeltaReader(ctx.storage.sql);
  }

  async observe(observations: Observations): Promise<ObservationsResult> {
    const count = (observations.present?.length ?? 0) + (observations.removed?.length ?? 0);
    if (count > OBSERVATIONS_MAX) {
      throw new RangeError(`${count} observations exceed the limit of ${OBSERVATIONS_MAX} per call`);
    }
    const now = Date.now();
    const { eligibility } = this.#configure(now);
    const observed = this.#storage.change((draft) => {
      const { asOf, present = [], removed = [], sizes } = observations;
      // The Cloud Controller's matches are the observations with client-reported sizes.
      if (sizes === "client-reported" && present.length > 0) recordMatch(draft, asOf);
      if (draft.suspension && sizes === "verified") {
        recordRepair(draft, this.#ledger.removable(removed, asOf).length);
      }
      return this.#ledger.record(draft, observations, eligibility, now);
    });
    // Not `observed.changed`: a repeated call changes nothing, but the first one may have been cut off before
    // it set the alarm.
    if (this.#storage.state.dirtySince !== null) {
      await this.#scheduleAlarm(Math.max(now + PUBLISHED_AFTER_MS, manifestDueAt(this.#storage.state, now)));
    }
    return observed;
  }

  async reportRejections(rejections: Rejections): Promise<void> {
    const now = Date.now();
    const configuration = this.#configure(now);
    const { asOf, verified, rejected } = rejections;
    const removed = this.#ledger.removable(rejected, asOf);
    const counts = { verified: verified - rejected.length + removed.length, rejected: removed.length };
    const isSuspending = this.#storage.change((draft) => {
      const { isSuspending, areCredible } = judgeRejections(draft, counts, now);
      if (isSuspending) draft.manifest.rewriteAt = now;
      if (areCredible) {
        const observations: Observations = { asOf, removed, sizes: "client-reported" };
        this.#ledger.record(draft, observations, configuration.eligibility, now);
      }
      return isSuspending;
    });
    if (isSuspending) {
      const until = new Date(this.#storage.state.suspension?.until ?? now).toISOString();
      this.#log.error("cache-suspended", { ...counts, until });
      writePoint("cache-suspended", counts, configuration, this.#log);
    }
    await this.#scheduleAlarm(manifestDueAt(this.#storage.state, now));
  }

  async status(): Promise<CatalogStatus> {
    const now = Date.now();
    this.#configure(now);
    return readStatus(this.#storage, now);
  }

  async page(after?: string): Promise<CatalogPage> {
    this.#configure(Date.now());
    return readPage(this.#storage, after);
  }

  /** Repairs a namespace that was damaged or emptied. */
  async publish(): Promise<void> {
    const now = Date.now();
    this.#configure(now);
    this.#storage.change(({ snapshot, keys }) => {
      this.#tables.rewriteKeys();
      snapshot.requestedAt = now;
      snapshot.notBefore = null;
      keys.notBefore = null;
    });
    await this.#scheduleAlarm(now);
  }

  async forget(): Promise<void> {
    const now = Date.now();
    const configuration = this.#configure(now);
    const before = this.#storage.state;
    this.#storage.change((draft) => this.#ledger.forget(draft, now));
    this.#logResumption(before, configuration);
    await this.#scheduleAlarm(manifestDueAt(this.#storage.state, now));
  }

  override async alarm(): Promise<void> {
    const now = Date.now();
    await this.#setAlarm(now + SAFETY_MS);
    let configuration: Configuration;
    try {
      configuration = this.#adoptConfiguration(now);
    } catch (error) {
      this.#log.error("catalog-step-failed", { step: "configure", cause: causeOf(error) });
      await this.#setAlarm(now + MISCONFIGURED_PAUSE_MS);
      return;
    }
    if (isElsewhere(this.ctx, configuration)) this.#forgetOnce(now);
    const { suspension } = this.#storage.state;
    if (suspension && now >= suspension.until) this.#endSuspension(configuration, now);
    const publisher = new Publisher(this.#storage, this.#delta, configuration, this.#log);
    const nextRunAt = await publisher.run(now);
    await this.#setAlarm(nextRunAt);
    // The catalog of a former jurisdiction must not hide that the current one has stopped publishing.
    if (!isElsewhere(this.ctx, configuration)) this.#measureRun(configuration);
  }

  #measureRun(configuration: Configuration): void {
    const { manifest, dirtySince } = this.#storage.state;
    const point = { published_at: manifest.published?.at ?? 0, dirty_since: dirtySince ?? 0 };
    writePoint("catalog-run", point, configuration, this.#log);
  }

  #endSuspension(configuration: Configuration, now: number): void {
    const before = this.#storage.state;
    this.#storage.change((draft) => {
      draft.suspension = null;
      draft.manifest.rewriteAt = now;
    });
    this.#logResumption(before, configuration);
  }

  /** Logs that a suspension has ended, if it has. @param before the state before the change */
  #logResumption(before: StoredState, configuration: Configuration): void {
    if (!before.suspension || this.#storage.state.suspension) return;
    this.#log.info("cache-resumed");
    writePoint("cache-resumed", { verified: 0, rejected: 0 }, configuration, this.#log);
  }

  /**
   * After a change of DATA_JURISDICTION the catalog of the former one still has its alarm. It gets no reports, so it
   * must not have entries when it is used again.
   */
  #forgetOnce(now: number): void {
    if (this.#tables.isEmpty()) return;
    this.#storage.change((draft) => this.#ledger.forget(draft, now));
    this.#log.warn("catalog-replaced");
  }

  /** @throws if the Worker is misconfigured, or if the catalog of another jurisdiction is the current one */
  #configure(now: number): Configuration {
    const configuration = this.#adoptConfiguration(now);
    if (isElsewhere(this.ctx, configuration)) {
      throw new Error("DATA_JURISDICTION was changed: another object is the catalog now");
    }
    return configuration;
  }

  /**
   * Returns the configuration, after adopting its KEY_PREFIX.
   *
   * @throws if the Worker is misconfigured
   */
  #adoptConfiguration(now: number): Configuration {
    const configuration = configurationOf(this.env);
    if (configuration instanceof Failure) throw new Error(configuration.reason);
    const prefix = cachePrefix(configuration.keyPrefix, this.ctx.id.jurisdiction);
    if (this.#storage.isNew) {
      this.#storage.change((draft) => {
        draft.prefix = prefix;
      });
    } else if (this.#storage.state.prefix !== prefix) {
      const before = this.#storage.state;
      this.#storage.change((draft) => this.#ledger.moveTo(draft, prefix, now));
      this.#logResumption(before, configuration);
    }
    return configuration;
  }

  /**
   * Makes the alarm run at `time` or earlier. It does not wait before it sets the alarm: the changes and the
   * alarm become durable together or not at all.
   */
  #scheduleAlarm(time: number): Promise<void> {
    const alarmAt = this.#alarmAt;
    // An alarm that is overdue for a minute was given up by the platform.
    const isSet = alarmAt !== null && alarmAt <= time && alarmAt >= Date.now() - SAFETY_MS;
    return isSet ? Promise.resolve() : this.#setAlarm(time);
  }

  #setAlarm(time: number): Promise<void> {
    this.#alarmAt = time;
    return this.ctx.storage.setAlarm(time);
  }
}

/** Whether this object is in another jurisdiction than the current catalog. */
function isElsewhere({ id }: DurableObjectState, { jurisdiction }: Configuration): boolean {
  return id.jurisdiction !== jurisdiction;
}
