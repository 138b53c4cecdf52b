import { DurableObject } from "cloudflare:workers";
import { type KeyValueStore, keyValueStore } from "../cache/key-value-store.ts";
import { type Configuration, configurationOf, type Env } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf, createLog } from "../log.ts";
import { writePoint } from "../metrics.ts";
import type { ResourceKey } from "../resource-key.ts";
import { sha1Bytes, sha1Hex } from "../sha1.ts";
import { KeyWriter } from "./key-writer.ts";
import { Ledger, newSecret } from "./ledger.ts";
import { MemoryTable } from "./memory.ts";
import {
  BELIEVED_MS,
  OBSERVATIONS_MAX,
  type Observations,
  type Observed,
  type Refusals,
} from "./observations.ts";
import { Publisher } from "./publisher.ts";
import { retire, retireAt } from "./retirement.ts";
import { SnapshotBuilder } from "./snapshot-builder.ts";
import { type Denials, Suspension } from "./suspension.ts";
import { HELD_STATES, STATE, TABLES } from "./tables.ts";
import { WrittenValues } from "./written-values.ts";

/** Observations that come close together are published together. */
const PUBLISHED_AFTER_MS = 1_000;
/** An alarm that dies is followed by another after this time, even when the platform has given up repeating it. */
const SAFETY_MS = 60_000;
const MISCONFIGURED_PAUSE_MS = 5 * 60 * 1000;
/** The free plan allows an alarm 1,000 operations on KV; a snapshot, a pointer and what they supersede take some. */
const KEY_OPERATIONS_PER_ALARM = 900;
const CLEARED_PER_ALARM = 50;
/** Between two alarms, at least; and where something has failed. */
const PAUSE_MS = 1_000;
const FAILED_PAUSE_MS = 10_000;
const PAGE_RESOURCES = 10_000;
/** Longer than a "held" is believed, so that a late one can't undo a removal. */
const REMOVALS_REMEMBERED_MS = 2 * BELIEVED_MS;

/** What the catalog says of itself. */
export interface CatalogStatus {
  /** Resources that it holds. */
  entries: number;
  /** Those of them whose key is not written yet. */
  keysWaiting: number;
  /** Removed resources that it remembers. */
  removalsRemembered: number;
  /** The pointer that was written last; times in ISO 8601. */
  published: { at: string; changes: { held: number; removed: number } } | null;
  snapshot: { id: string; entries: number; parts: number; builtAt: string } | null;
  /** ISO 8601: until then only the Cloud Controller answers; null where the cache counts. */
  suspendedUntil: string | null;
  /** Whether something is to be published. */
  isBehind: boolean;
  refused: Refusals;
}

/** A page of what the catalog holds, in the order of the SHA-1s. */
export interface CatalogPage {
  resources: ResourceKey[];
  /** The SHA-1 to ask for the next page with; absent on the last. */
  after?: string;
}

/**
 * The one writer of the cache: a Durable Object for each foundation. It takes down what was seen of the resource pool,
 * in order, and its alarm publishes that to Workers KV.
 */
export class Catalog extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #memory: MemoryTable;
  readonly #ledger: Ledger;
  readonly #values: WrittenValues;
  readonly #suspension: Suspension;
  readonly #publisher: Publisher;
  readonly #snapshots: SnapshotBuilder;
  readonly #log = createLog({ object: "catalog" });
  /** When the alarm comes, as far as this instance has set it; ms since the epoch. */
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(TABLES);
    this.#memory = new MemoryTable(this.#sql);
    this.#ledger = new Ledger(this.#sql, this.#memory);
    this.#values = new WrittenValues(this.#sql);
    this.#suspension = new Suspension(this.#memory);
    this.#publisher = new Publisher(this.#sql, this.#memory, this.#values, this.#suspension);
    this.#snapshots = new SnapshotBuilder(this.#sql, this.#memory, this.#values);
  }

  /**
   * Takes observations down; they are published within seconds.
   *
   * @throws RangeError for more than 50,000
   */
  async observe(observations: Observations): Promise<Observed> {
    const count = (observations.held?.length ?? 0) + (observations.removed?.length ?? 0);
    if (count > OBSERVATIONS_MAX)
      throw new RangeError(`${count} observations, where ${OBSERVATIONS_MAX} fit`);
    const now = Date.now();
    const { eligibility } = this.#settle(now);
    const observed = this.ctx.storage.transactionSync(() =>
      this.#ledger.record(observations, eligibility, now),
    );
    // A size that is only said is the Cloud Controller's match.
    if (observations.sizes === "said" && observations.held?.length)
      this.#suspension.matched(observations.asOf);
    // Whatever has changed now: a call that was cut off before it set the alarm is repeated, and changes nothing more.
    if (this.#publisher.isBehind) {
      await this.#wake(Math.max(now + PUBLISHED_AFTER_MS, this.#publisher.dueAt()));
    }
    return observed;
  }

  /**
   * Takes down what the Cloud Controller denied of the cache's claims. Where that is much, only the Cloud Controller
   * answers for a while.
   */
  async deny(denials: Denials): Promise<void> {
    const now = Date.now();
    const configuration = this.#settle(now);
    const { isSuspending, isBelieved } = this.#suspension.judge(denials, now);
    const denied = { asked: denials.asked, denied: denials.denied.length };
    if (isSuspending) {
      this.#log.error("cache-suspended", {
        ...denied,
        until: new Date(this.#suspension.endsAt()).toISOString(),
      });
      writePoint("cache-suspended", denied, configuration, this.#log);
      this.#memory.set({ againAt: now });
    }
    if (isBelieved) {
      const removed = denials.denied.filter((sha1) => this.#ledger.isHeld(sha1));
      const observations: Observations = { asOf: denials.asOf, removed, sizes: "said" };
      this.ctx.storage.transactionSync(() =>
        this.#ledger.record(observations, configuration.eligibility, now),
      );
    }
    await this.#wake(Math.max(now, this.#publisher.dueAt()));
  }

  async status(): Promise<CatalogStatus> {
    this.#settle(Date.now());
    const counts = new Map(
      this.#sql
        .exec<{ state: number; count: number }>(
          "SELECT state, COUNT(*) AS count FROM resources GROUP BY state",
        )
        .toArray()
        .map(({ state, count }) => [state, count]),
    );
    const entries = HELD_STATES.reduce((sum, state) => sum + (counts.get(state) ?? 0), 0);
    const published = this.#memory.get("published");
    const snapshot = this.#memory.get("snapshot");
    const suspendedUntil = this.#suspension.until(Date.now());
    return {
      entries,
      keysWaiting: entries - (counts.get(STATE.keyed) ?? 0),
      removalsRemembered: counts.get(STATE.removed) ?? 0,
      published: published && {
        at: new Date(published.at).toISOString(),
        changes: { held: published.changes?.held ?? 0, removed: published.changes?.removed ?? 0 },
      },
      snapshot: snapshot && {
        id: snapshot.id,
        entries: snapshot.entries,
        parts: snapshot.parts,
        builtAt: new Date(snapshot.builtAt).toISOString(),
      },
      suspendedUntil: suspendedUntil === undefined ? null : new Date(suspendedUntil).toISOString(),
      isBehind: this.#publisher.isBehind,
      refused: this.#memory.get("refused"),
    };
  }

  /** @param after the last SHA-1 of the page before, in lower-case hex */
  async page(after?: string): Promise<CatalogPage> {
    this.#settle(Date.now());
    const rows = this.#sql
      .exec<{ sha1: ArrayBuffer; size: number }>(
        "SELECT sha1, size FROM resources WHERE sha1 > ? AND state < ? ORDER BY sha1 LIMIT ?",
        after === undefined ? new Uint8Array() : sha1Bytes(after),
        STATE.removed,
        PAGE_RESOURCES,
      )
      .toArray();
    const resources = rows.map(({ sha1, size }): ResourceKey => `${sha1Hex(sha1)}:${size}`);
    const last = rows.at(-1);
    return rows.length === PAGE_RESOURCES && last ? { resources, after: sha1Hex(last.sha1) } : { resources };
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
    await this.#wake(Math.max(now, this.#publisher.dueAt()));
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
    const storeOf = (prefix: string) => keyValueStore(configuration.cache, prefix);
    const publish = () => this.#publishIfDue(storeOf);
    const keys = new KeyWriter(this.#sql, this.#memory, configuration.keysPerDay);

    if (this.#suspension.hasEnded(now)) {
      this.#log.info("cache-resumed");
      writePoint("cache-resumed", { asked: 0, denied: 0 }, configuration, this.#log);
      this.#memory.set({ againAt: now });
    }
    const isImport = this.#snapshots.isImportDue(now);
    // What fails most likely has KV unwell: the next alarm begins with what is urgent.
    const isDone =
      (await this.#attempt("retire", () => retire(this.#memory, this.#values, storeOf, now))) &&
      (await this.#attempt("publish", async () => isImport || publish())) &&
      (await this.#attempt("snapshot", () =>
        this.#buildIfDue(storeOf, isImport ? async () => {} : publish),
      )) &&
      (await this.#attempt("publish", publish)) &&
      (await this.#attempt("clear", () => this.#values.clear(storeOf, Date.now(), CLEARED_PER_ALARM))) &&
      (await this.#attempt("keys", () => keys.work(storeOf, Date.now(), KEY_OPERATIONS_PER_ALARM, publish)));
    this.#forgetOldRemovals(now);
    await this.#schedule(keys, isDone ? PAUSE_MS : FAILED_PAUSE_MS);
  }

  async #publishIfDue(storeOf: (prefix: string) => KeyValueStore): Promise<void> {
    const now = Date.now();
    if (this.#publisher.dueAt() <= now) await this.#publisher.publish(storeOf, now);
  }

  async #buildIfDue(storeOf: (prefix: string) => KeyValueStore, between: () => Promise<void>): Promise<void> {
    const now = Date.now();
    if (this.#snapshots.dueAt() <= now) await this.#snapshots.build(storeOf, now, between);
  }

  /** @returns whether it did not fail */
  async #attempt(step: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#log.error("catalog-step-failed", { step, cause: causeOf(error) });
      return false;
    }
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

  #forgetOldRemovals(now: number): void {
    const query = "DELETE FROM resources WHERE state = ? AND observed_at < ?";
    this.#sql.exec(query, STATE.removed, now - REMOVALS_REMEMBERED_MS);
  }

  async #schedule(keys: KeyWriter, pauseMs: number): Promise<void> {
    const now = Date.now();
    const due = [
      retireAt(this.#memory),
      this.#publisher.dueAt(),
      this.#snapshots.dueAt(),
      this.#suspension.endsAt(),
      this.#values.clearAt(),
      keys.dueAt(now),
    ];
    await this.#setAlarm(Math.max(Math.min(...due), now + pauseMs));
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
