import { DurableObject } from "cloudflare:workers";
import { type Configuration, configurationOf, type Env } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf, createLog } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import { PUBLISHED_AFTER_MS } from "../time/time-guarantees.ts";
import { type CatalogPage, pageOf } from "./catalog-page.ts";
import { CatalogState } from "./catalog-state.ts";
import { type CatalogStatus, statusOf } from "./catalog-status.ts";
import { newSecret } from "./ids.ts";
import { Ledger } from "./ledger.ts";
import { OBSERVATIONS_MAX, type Observations, type Observed } from "./observations.ts";
import { Publisher } from "./publisher.ts";
import { type Rejections, Suspension } from "./suspension.ts";
import { STATE, TABLES } from "./tables.ts";

/** An alarm that dies is followed by another after this time, even when the platform has given up repeating it. */
const SAFETY_MS = 60_000;
const MISCONFIGURED_PAUSE_MS = 5 * 60 * 1000;

/**
 * The one writer of the cache: a Durable Object for each foundation. It takes down what was seen of the resource pool,
 * in order, and its alarm publishes that to Workers KV.
 */
export class Catalog extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #memory: CatalogState;
  readonly #ledger: Ledger;
  readonly #suspension: Suspension;
  readonly #publisher: Publisher;
  readonly #log = createLog({ object: "catalog" });
  /** When the alarm comes, as far as this instance has set it; ms since the epoch. */
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(TABLES);
    this.#memory = new CatalogState(this.#sql);
    this.#ledger = new Ledger(this.#sql, this.#memory);
    this.#suspension = new Suspension(this.#memory);
    this.#publisher = new Publisher(this.#sql, this.#memory, this.#suspension, this.#log);
  }

  /**
   * Takes observations down; they are published within seconds.
   *
   * @throws RangeError for more than 50,000
   */
  async observe(observations: Observations): Promise<Observed> {
    const count = (observations.present?.length ?? 0) + (observations.removed?.length ?? 0);
    if (count > OBSERVATIONS_MAX)
      throw new RangeError(`${count} observations, where ${OBSERVATIONS_MAX} fit`);
    const now = Date.now();
    const { eligibility } = this.#settle(now);
    const observed = this.ctx.storage.transactionSync(() =>
      this.#ledger.record(observations, eligibility, now),
    );
    // A size that is only said is the Cloud Controller's match.
    if (observations.sizes === "client-reported" && observations.present?.length)
      this.#suspension.matched(observations.asOf);
    // Whatever has changed now: a call that was cut off before it set the alarm is repeated, and changes nothing more.
    if (this.#memory.get("dirtySince") !== null) {
      await this.#wake(Math.max(now + PUBLISHED_AFTER_MS, this.#publisher.manifestDueAt()));
    }
    return observed;
  }

  /**
   * Takes down what the Cloud Controller denied of the cache's claims. Where that is much, only the Cloud Controller
   * answers for a while.
   */
  async reportRejections(rejections: Rejections): Promise<void> {
    const now = Date.now();
    const configuration = this.#settle(now);
    const { isSuspending, isBelieved } = this.#suspension.judge(rejections, now);
    const counts = { verified: rejections.verified, rejected: rejections.rejected.length };
    if (isSuspending) {
      this.#log.error("cache-suspended", {
        ...counts,
        until: new Date(this.#suspension.endsAt()).toISOString(),
      });
      writePoint("cache-suspended", counts, configuration, this.#log);
      this.#memory.set({ rewriteManifestAt: now });
    }
    if (isBelieved) {
      const removed = rejections.rejected.filter((sha1) => this.#ledger.isPresent(sha1));
      const observations: Observations = { asOf: rejections.asOf, removed, sizes: "client-reported" };
      this.ctx.storage.transactionSync(() =>
        this.#ledger.record(observations, configuration.eligibility, now),
      );
    }
    await this.#wake(Math.max(now, this.#publisher.manifestDueAt()));
  }

  async status(): Promise<CatalogStatus> {
    this.#settle(Date.now());
    return statusOf(this.#sql, this.#memory, this.#suspension);
  }

  /** @param after the last SHA-1 of the page before, in lower-case hex */
  async page(after?: string): Promise<CatalogPage> {
    this.#settle(Date.now());
    return pageOf(this.#sql, after);
  }

  /** A new snapshot as soon as may be, and all keys again: mends a damaged or emptied namespace. */
  async publish(): Promise<void> {
    const now = Date.now();
    this.#settle(now);
    this.#sql.exec("UPDATE resources SET state = ? WHERE state = ?", STATE.keyBegun, STATE.keyed);
    this.#memory.set({ snapshotWantedAt: now, snapshotNotBefore: 0, keysNotBefore: 0 });
    await this.#wake(now);
  }

  /** Forgets everything, and believes nothing that was seen before. */
  async forget(): Promise<void> {
    const now = Date.now();
    this.#settle(now);
    this.ctx.storage.transactionSync(() => this.#ledger.forget(now));
    await this.#wake(Math.max(now, this.#publisher.manifestDueAt()));
  }

  /** Publishes, a step after the other; what fails is logged, and tried again by a later alarm. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    await this.#setAlarm(now + SAFETY_MS);
    let configuration: Configuration;
    try {
      configuration = this.#settle(now);
    } catch (error) {
      this.#log.error("catalog-step-failed", { step: "settle", cause: causeOf(error) });
      await this.#setAlarm(now + MISCONFIGURED_PAUSE_MS);
      return;
    }
    if (this.#suspension.hasEnded(now)) {
      this.#log.info("cache-resumed");
      writePoint("cache-resumed", { verified: 0, rejected: 0 }, configuration, this.#log);
      this.#memory.set({ rewriteManifestAt: now });
    }
    const isDone = await this.#publisher.work(configuration, now);
    this.#ledger.forgetOldRemovals(now);
    await this.#setAlarm(this.#publisher.nextAt(configuration, !isDone));
  }

  /** The configuration; where KEY_PREFIX has changed, what was told under the one before is forgotten. */
  #settle(now: number): Configuration {
    const configuration = configurationOf(this.env);
    if (configuration instanceof Failure) throw new Error(configuration.reason);
    const { keyPrefix } = configuration;
    if (this.#memory.get("secret") === "") this.#memory.set({ prefix: keyPrefix, secret: newSecret() });
    else if (this.#memory.get("prefix") !== keyPrefix) {
      this.ctx.storage.transactionSync(() => this.#ledger.moveTo(keyPrefix, now));
    }
    return configuration;
  }

  /**
   * Sees to it that an alarm comes at `time` or before. In the same turn as what it is to publish was taken down, so that
   * both land or neither: hence it asks nobody when the alarm is.
   */
  #wake(time: number): Promise<void> {
    const isLost = this.#alarmAt < Date.now() - SAFETY_MS;
    return this.#alarmAt > time || isLost ? this.#setAlarm(time) : Promise.resolve();
  }

  #setAlarm(time: number): Promise<void> {
    this.#alarmAt = time;
    return this.ctx.storage.setAlarm(time);
  }
}
