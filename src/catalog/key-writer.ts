import { KEY_VALUE } from "../cache/key-reads.ts";
import { chunks } from "../chunks.ts";
import { sha1Hex } from "../resources/sha1.ts";
import { KEY_DELETED_AFTER_MS } from "../time/time-guarantees.ts";
import { type CatalogStorage, ROW_STATE } from "./catalog-storage.ts";
import type { StoreOf } from "./published-objects.ts";
import { NEVER } from "./times.ts";

/** The free plan allows 1,000 operations on KV per alarm; snapshot and manifest take some. */
const OPERATIONS_PER_ALARM = 900;
/** Keys that are written at the same time. */
const KEYS_AT_A_TIME = 50;
const REFUSED_PAUSE_MS = 10 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

type Key = { sha1: ArrayBuffer; size: number; revision: number };

const nameOf = ({ sha1, size }: Key) => `${sha1Hex(sha1)}:${size}`;

/** Deletes the keys of removed resources, then writes the missing keys, the newest first. */
export class KeyWriter {
  readonly #storage: CatalogStorage;
  readonly #storeOf: StoreOf;
  readonly #keysPerDay: number;

  constructor(storage: CatalogStorage, storeOf: StoreOf, keysPerDay: number) {
    this.#storage = storage;
    this.#storeOf = storeOf;
    this.#keysPerDay = keysPerDay;
  }

  /** When the next key is to be deleted or written, in ms since the epoch; NEVER if there is none. */
  dueAt(now: number): number {
    const query = `SELECT removed_at FROM tombstones
      WHERE has_key = 1 AND key_deleted_at IS NULL ORDER BY removed_at LIMIT 1`;
    const [first] = this.#storage.sql.exec<{ removed_at: number }>(query).toArray();
    const deletionsDueAt = first ? first.removed_at + KEY_DELETED_AFTER_MS : NEVER;
    const dueAt = Math.min(deletionsDueAt, this.#writesDueAt(now));
    return Math.max(dueAt, now, this.#storage.state.keys.notBefore ?? now);
  }

  /** @param publishChanges is called between batches, so that changes do not wait for the keys */
  async work(publishChanges: () => Promise<void>): Promise<void> {
    const now = Date.now();
    if (now < (this.#storage.state.keys.notBefore ?? now)) return;
    try {
      const deleted = await this.#deleteKeys(now, publishChanges);
      await this.#writeKeys(now, OPERATIONS_PER_ALARM - deleted, publishChanges);
    } catch (error) {
      this.#storage.change(({ keys }) => {
        keys.notBefore = now + REFUSED_PAUSE_MS;
      });
      throw error;
    }
  }

  /** @returns the number of keys */
  async #deleteKeys(now: number, publishChanges: () => Promise<void>): Promise<number> {
    const { sql } = this.#storage;
    const query = `SELECT prefix, sha1, size, revision FROM tombstones
      WHERE has_key = 1 AND key_deleted_at IS NULL AND removed_at <= ? LIMIT ?`;
    const removedUntil = now - KEY_DELETED_AFTER_MS;
    const due = sql.exec<Key & { prefix: string }>(query, removedUntil, OPERATIONS_PER_ALARM).toArray();
    // The revision excludes a resource that was added and removed again during the deletion.
    const update = `UPDATE tombstones SET key_deleted_at = ?
      WHERE prefix = ? AND sha1 = ? AND size = ? AND revision = ?`;
    for (const batch of chunks(due, KEYS_AT_A_TIME)) {
      await settleAll(batch, async (key) => {
        await this.#storeOf(key.prefix).delete(nameOf(key));
        sql.exec(update, now, key.prefix, key.sha1, key.size, key.revision);
      });
      await publishChanges();
    }
    return due.length;
  }

  async #writeKeys(now: number, operations: number, publishChanges: () => Promise<void>): Promise<void> {
    const limit = Math.min(operations, this.#leftToday(now));
    const { epoch, prefix } = this.#storage.state;
    const store = this.#storeOf(prefix);
    for (const batch of chunks(this.#missingKeys(limit), KEYS_AT_A_TIME)) {
      const keys = batch.filter((key) => this.#setState(key, ROW_STATE.keyBegun));
      this.#storage.change((draft) => {
        draft.keys.written = { day: dayOf(now), count: this.#writtenToday(now) + keys.length };
      });
      await settleAll(keys, async (key) => {
        await store.put(nameOf(key), KEY_VALUE);
        this.#setState(key, ROW_STATE.keyWritten);
      });
      await publishChanges();
      // Everything was forgotten during the writes.
      if (this.#storage.state.epoch !== epoch) return;
    }
  }

  /** Keys whose write has begun come first: it may have failed. */
  #missingKeys(limit: number): Key[] {
    const keys: Key[] = [];
    for (const state of [ROW_STATE.keyBegun, ROW_STATE.keyMissing]) {
      const query = `SELECT sha1, size, revision FROM resources
        WHERE state = ? ORDER BY revision DESC LIMIT ?`;
      if (keys.length < limit) keys.push(...this.#storage.sql.exec<Key>(query, state, limit - keys.length));
    }
    return keys;
  }

  /** @returns false if the resource was removed since the key was read, even if it is present again */
  #setState({ sha1, size, revision }: Key, state: number): boolean {
    const query = `UPDATE resources SET state = ?
      WHERE sha1 = ? AND size = ? AND revision = ? AND state < ? RETURNING size`;
    const updated = this.#storage.sql.exec(query, state, sha1, size, revision, ROW_STATE.keyWritten);
    return updated.toArray().length > 0;
  }

  #writesDueAt(now: number): number {
    if (this.#keysPerDay === 0 || this.#missingKeys(1).length === 0) return NEVER;
    return this.#leftToday(now) > 0 ? now : (dayOf(now) + 1) * DAY_MS;
  }

  #leftToday(now: number): number {
    return Math.max(0, this.#keysPerDay - this.#writtenToday(now));
  }

  #writtenToday(now: number): number {
    const { written } = this.#storage.state.keys;
    return written?.day === dayOf(now) ? written.count : 0;
  }
}

/** Days since the epoch, UTC. */
function dayOf(time: number): number {
  return Math.floor(time / DAY_MS);
}

/** Waits for the work on all items, and throws the first error. */
async function settleAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled(items.map(work));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
}
