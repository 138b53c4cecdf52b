import { KEY_VALUE } from "../cache/key-reads.ts";
import type { KeyValueStore } from "../cache/key-value-store.ts";
import { chunks } from "../chunks.ts";
import { sha1Hex } from "../resources/sha1.ts";
import { KEY_DELETED_AFTER_MS } from "../time/time-guarantees.ts";
import type { CatalogState } from "./catalog-state.ts";
import { STATE } from "./tables.ts";

/** A batch that is recorded before it is written, and once it has been. */
const KEYS_AT_A_TIME = 50;
const REFUSED_PAUSE_MS = 10 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

type Key = { sha1: ArrayBuffer; size: number; revision: number };

const nameOf = ({ sha1, size }: Key) => `${sha1Hex(sha1)}:${size}`;

/**
 * Brings the keys of Workers KV up to the catalog, behind everything else: deletions first, then what has no key, the
 * newest first. What KV refuses waits.
 */
export class KeyWriter {
  readonly #sql: SqlStorage;
  readonly #memory: CatalogState;
  readonly #keysPerDay: number;

  constructor(sql: SqlStorage, memory: CatalogState, keysPerDay: number) {
    this.#sql = sql;
    this.#memory = memory;
    this.#keysPerDay = keysPerDay;
  }

  /** When there is something to do, in ms since the epoch. */
  dueAt(now: number): number {
    const query = "SELECT MIN(departed_at) AS first FROM departed WHERE keyed = 1 AND deleted_at IS NULL";
    const { first } = this.#sql.exec<{ first: number | null }>(query).one();
    const deletions = first === null ? Number.POSITIVE_INFINITY : first + KEY_DELETED_AFTER_MS;
    return Math.max(this.#memory.get("keysNotBefore"), Math.min(deletions, this.#writesAt(now)));
  }

  /**
   * Spends at most `operations` on keys, deletions in any prefix among them.
   *
   * @param between what must not wait for all of it
   */
  async work(
    storeOf: (prefix: string) => KeyValueStore,
    now: number,
    operations: number,
    between: () => Promise<void>,
  ): Promise<void> {
    if (now < this.#memory.get("keysNotBefore")) return;
    try {
      const deleted = await this.#deleteDeparted(storeOf, now, operations, between);
      await this.#writeMissing(storeOf, now, operations - deleted, between);
    } catch (error) {
      this.#memory.set({ keysNotBefore: now + REFUSED_PAUSE_MS });
      throw error;
    }
  }

  async #deleteDeparted(
    storeOf: (prefix: string) => KeyValueStore,
    now: number,
    limit: number,
    between: () => Promise<void>,
  ): Promise<number> {
    const due = this.#sql
      .exec<Key & { prefix: string }>(
        `SELECT prefix, sha1, size, revision FROM departed
         WHERE keyed = 1 AND deleted_at IS NULL AND departed_at <= ? LIMIT ?`,
        now - KEY_DELETED_AFTER_MS,
        limit,
      )
      .toArray();
    for (const batch of chunks(due, KEYS_AT_A_TIME)) {
      await allLanded(batch, async (key) => {
        await storeOf(key.prefix).delete(nameOf(key));
        // Not where it has come back and departed again meanwhile.
        this.#sql.exec(
          "UPDATE departed SET deleted_at = ? WHERE prefix = ? AND sha1 = ? AND size = ? AND revision = ?",
          now,
          key.prefix,
          key.sha1,
          key.size,
          key.revision,
        );
      });
      await between();
    }
    return due.length;
  }

  async #writeMissing(
    storeOf: (prefix: string) => KeyValueStore,
    now: number,
    operations: number,
    between: () => Promise<void>,
  ): Promise<void> {
    const limit = Math.min(operations, this.#leftToday(now));
    const epoch = this.#memory.get("epoch");
    const store = storeOf(this.#memory.get("prefix"));
    for (const batch of chunks(this.#missing(limit), KEYS_AT_A_TIME)) {
      const still = batch.filter((key) => this.#move(key, STATE.keyBegun));
      this.#countWritten(now, still.length);
      await allLanded(still, async (key) => {
        await store.put(nameOf(key), KEY_VALUE);
        this.#move(key, STATE.keyed);
      });
      await between();
      // Everything was forgotten meanwhile.
      if (this.#memory.get("epoch") !== epoch) return;
    }
  }

  /** Those first of which a write was begun, for nobody knows whether it has landed. */
  #missing(limit: number): Key[] {
    const found: Key[] = [];
    for (const state of [STATE.keyBegun, STATE.unkeyed]) {
      const query =
        "SELECT sha1, size, revision FROM resources WHERE state = ? ORDER BY revision DESC LIMIT ?";
      if (found.length < limit) found.push(...this.#sql.exec<Key>(query, state, limit - found.length));
    }
    return found;
  }

  /** @returns false where the resource has departed since, or come back */
  #move({ sha1, size, revision }: Key, state: number): boolean {
    const query = `UPDATE resources SET state = ?
      WHERE sha1 = ? AND size = ? AND revision = ? AND state IN (?, ?) RETURNING size`;
    const moved = this.#sql.exec(query, state, sha1, size, revision, STATE.unkeyed, STATE.keyBegun);
    return moved.toArray().length > 0;
  }

  #writesAt(now: number): number {
    if (this.#keysPerDay === 0 || this.#missing(1).length === 0) return Number.POSITIVE_INFINITY;
    return this.#leftToday(now) > 0 ? now : (Math.floor(now / DAY_MS) + 1) * DAY_MS;
  }

  #leftToday(now: number): number {
    const { day, written } = this.#memory.get("keysOfDay");
    return day === Math.floor(now / DAY_MS) ? Math.max(0, this.#keysPerDay - written) : this.#keysPerDay;
  }

  #countWritten(now: number, count: number): void {
    const today = Math.floor(now / DAY_MS);
    const { day, written } = this.#memory.get("keysOfDay");
    this.#memory.set({ keysOfDay: { day: today, written: count + (day === today ? written : 0) } });
  }
}

/** Waits for all, so that what has landed is recorded, and throws what the first of them threw. */
async function allLanded<T>(items: readonly T[], land: (item: T) => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled(items.map(land));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
}
