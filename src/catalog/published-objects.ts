import type { KeyValueStore } from "../cache/key-value-store.ts";
import { SUPERSEDED_KEPT_MS } from "../time/time-guarantees.ts";
import { NEVER } from "./times.ts";

const DELETIONS_PER_ALARM = 50;

/** The store of the cache below a KEY_PREFIX. */
export type StoreOf = (prefix: string) => KeyValueStore;

/** The parts of snapshots and the deltas in Workers KV. Each is recorded before it is written. */
export class PublishedObjects {
  readonly #sql: SqlStorage;
  readonly #storeOf: StoreOf;

  constructor(sql: SqlStorage, storeOf: StoreOf) {
    this.#sql = sql;
    this.#storeOf = storeOf;
  }

  async write(prefix: string, name: string, bytes: Uint8Array): Promise<void> {
    this.#sql.exec("INSERT OR REPLACE INTO published_objects (prefix, name) VALUES (?, ?)", prefix, name);
    await this.#storeOf(prefix).put(name, bytes);
  }

  /** Marks all objects as superseded that the last manifest does not name. */
  supersede(prefix: string, namesInManifest: readonly string[], now: number): void {
    const query = "SELECT name, superseded_at FROM published_objects WHERE prefix = ?";
    const objects = this.#sql.exec<{ name: string; superseded_at: number | null }>(query, prefix).toArray();
    for (const { name, superseded_at } of objects) {
      const isCurrent = namesInManifest.includes(name);
      if (isCurrent === (superseded_at === null)) continue;
      const update = "UPDATE published_objects SET superseded_at = ? WHERE prefix = ? AND name = ?";
      this.#sql.exec(update, isCurrent ? null : now, prefix, name);
    }
  }

  /** Deletes objects that were superseded an hour ago. */
  async deleteSuperseded(): Promise<void> {
    const query = "SELECT prefix, name FROM published_objects WHERE superseded_at <= ? LIMIT ?";
    const until = Date.now() - SUPERSEDED_KEPT_MS;
    const due = this.#sql.exec<{ prefix: string; name: string }>(query, until, DELETIONS_PER_ALARM).toArray();
    for (const { prefix, name } of due) {
      await this.#storeOf(prefix).delete(name);
      this.#sql.exec("DELETE FROM published_objects WHERE prefix = ? AND name = ?", prefix, name);
    }
  }

  /** When the next object is to be deleted, in ms since the epoch; NEVER if none is superseded. */
  deletionDueAt(): number {
    const query = "SELECT MIN(superseded_at) AS first FROM published_objects";
    const { first } = this.#sql.exec<{ first: number | null }>(query).one();
    return first === null ? NEVER : first + SUPERSEDED_KEPT_MS;
  }
}

/** A unique id, which begins with the time in base 36. */
export function newObjectId(now: number): string {
  return `${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}
