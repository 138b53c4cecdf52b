import type { KeyValueStore } from "../cache/key-value-store.ts";
import { type PackedValue, pack } from "../cache/packed-value.ts";
import { changesName, POINTER_NAME, type Pointer, partName } from "../cache/pointer.ts";
import { KV_CACHE_TTL_MAX_SECONDS } from "../platform-limits.ts";
import { EntryList, type ResourceRow } from "./entry-list.ts";
import type { MemoryTable } from "./memory.ts";
import type { Suspension } from "./suspension.ts";
import { HELD_STATES } from "./tables.ts";
import type { WrittenValues } from "./written-values.ts";

/** Between two pointers: KV takes one write a second to a key, and each costs. */
const PACE_MS = 10_000;
/** A pointer that nothing has changed is written as often, so that readers see that somebody still writes. */
const TOUCH_MS = 60 * 60 * 1000;
/** A write of the pointer that failed or was cut off may still arrive, over a later one, for about so long. */
export const LATE_WRITE_MS = 120_000;
/**
 * A place of Workers KV may answer from its cache for a day after the key's deletion has shown there, and that takes a
 * minute and sometimes more: for an hour more nobody believes the key.
 */
const KEY_OUTLIVES_DELETION_MS = KV_CACHE_TTL_MAX_SECONDS * 1000 + 60 * 60 * 1000;

/** More keys of departed resources than these, 4 MB, are not overruled one by one: then no key counts. */
const OVERRULED_KEYS_MAX = 500_000;

/** An id that tells when it was made. */
export function newId(now: number): string {
  return `${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}

/**
 * Writes the pointer and the changes since the snapshot. What is published is a function of the catalog's state: the
 * changes under a new name first, the pointer last; whatever is cut off in between is done anew.
 */
export class Publisher {
  readonly #sql: SqlStorage;
  readonly #memory: MemoryTable;
  readonly #values: WrittenValues;
  readonly #suspension: Suspension;

  constructor(sql: SqlStorage, memory: MemoryTable, values: WrittenValues, suspension: Suspension) {
    this.#sql = sql;
    this.#memory = memory;
    this.#values = values;
    this.#suspension = suspension;
  }

  /** Whether the catalog has taken something down that no pointer tells yet. */
  get isBehind(): boolean {
    return (this.#memory.get("published")?.revision ?? 0) !== this.#memory.get("revision");
  }

  /** When the next pointer is due, in ms since the epoch. */
  dueAt(): number {
    const published = this.#memory.get("published");
    const notBefore = this.#memory.get("notBefore");
    if (published?.revision !== this.#memory.get("revision") || this.#memory.get("pointerInDoubt"))
      return notBefore;
    return Math.max(notBefore, Math.min(published.at + TOUCH_MS, this.#memory.get("againAt")));
  }

  /** @throws where KV refuses a write; all is done anew at the next turn */
  async publish(storeOf: (prefix: string) => KeyValueStore, now: number): Promise<void> {
    const memory = this.#memory;
    memory.set({ notBefore: now + PACE_MS, againAt: Number.MAX_SAFE_INTEGER });
    const { prefix, epoch, revision, snapshot, secret, changes, keysCount, packed } = this.#compose(now);
    const store = storeOf(prefix);
    if (changes && packed) {
      const name = changesName(changes.id);
      await this.#values.write(store, prefix, name, pack(name, packed));
    }
    // Everything was forgotten meanwhile.
    if (memory.get("epoch") !== epoch) return;

    const wasInDoubt = memory.get("pointerInDoubt");
    const pointerRevision = memory.get("pointerRevision") + 1;
    if (wasInDoubt) memory.set({ doubtUntil: now + LATE_WRITE_MS });
    memory.set({ pointerRevision, pointerInDoubt: true });
    const suspendedUntil = this.#suspension.until(now);
    const builtAt = new Date(snapshot?.builtAt ?? 0).toISOString();
    const pointer: Pointer = {
      version: 2,
      state: "current",
      revision: pointerRevision,
      publishedAt: new Date(now).toISOString(),
      secret,
      snapshot: snapshot && { id: snapshot.id, entries: snapshot.entries, parts: snapshot.parts, builtAt },
      changes,
      keysCount,
      suspendedUntil: suspendedUntil === undefined ? null : new Date(suspendedUntil).toISOString(),
    };
    await store.put(POINTER_NAME, JSON.stringify(pointer));
    // Until a late write has had its time, whatever it replaces is written again at once.
    const again = now < memory.get("doubtUntil") ? now + PACE_MS : Number.MAX_SAFE_INTEGER;
    // It may have been asked for while this one was under way.
    memory.set({ pointerInDoubt: false, againAt: Math.min(again, memory.get("againAt")) });
    if (memory.get("epoch") !== epoch) return;
    memory.set({ published: { revision, changes, at: now } });
    const parts = Array.from({ length: snapshot?.parts ?? 0 }, (_, part) =>
      partName(snapshot?.id ?? "", part),
    );
    this.#values.supersede(prefix, changes ? [...parts, changesName(changes.id)] : parts, now);
  }

  /** The state of one moment; `packed` is what has to be written of it, if the changes are not the published ones. */
  #compose(now: number) {
    const memory = this.#memory;
    const [prefix, epoch, revision] = [memory.get("prefix"), memory.get("epoch"), memory.get("revision")];
    const [snapshot, secret, published] = [
      memory.get("snapshot"),
      memory.get("secret"),
      memory.get("published"),
    ];
    const dropped = this.#dropOutlived(now);
    const keysCount = this.#countKeyed(prefix) <= OVERRULED_KEYS_MAX;
    const state = { prefix, epoch, revision, snapshot, secret, keysCount };
    if (dropped === 0 && published?.revision === revision) {
      return { ...state, changes: published.changes, packed: undefined };
    }
    const packed = this.#changesSince(snapshot?.revision ?? 0, secret, prefix, keysCount);
    const [held, removed] = [packed.held.length, packed.removed.length];
    return { ...state, changes: held + removed > 0 ? { id: newId(now), held, removed } : null, packed };
  }

  #changesSince(revision: number, secret: string, prefix: string, keysCount: boolean): PackedValue {
    const held = new EntryList(secret);
    const removed = new EntryList(secret);
    for (const state of HELD_STATES) {
      const query = "SELECT sha1, size FROM resources WHERE state = ? AND revision > ?";
      for (const row of this.#sql.exec(query, state, revision).raw<ResourceRow>()) held.add(row);
    }
    // A key that is not gone everywhere is to be overruled, however long ago its resource departed.
    const query = "SELECT sha1, size FROM departed WHERE prefix = ? AND (revision > ? OR keyed = ?)";
    // Where there is no snapshot and no key counts, nothing is left to overrule.
    const since = keysCount || this.#memory.get("snapshot") ? revision : Number.MAX_SAFE_INTEGER;
    const keyed = keysCount ? 1 : -1;
    for (const row of this.#sql.exec(query, prefix, since, keyed).raw<ResourceRow>()) removed.add(row);
    return { held: held.sorted(), removed: removed.sorted() };
  }

  /** Keys of departed resources that Workers KV may have. */
  #countKeyed(prefix: string): number {
    const query = "SELECT COUNT(*) AS count FROM departed WHERE prefix = ? AND keyed = 1";
    return this.#sql.exec<{ count: number }>(query, prefix).one().count;
  }

  /** @returns how many removals need not be told any more: no cached key can outlive them, and the snapshot lacks them */
  #dropOutlived(now: number): number {
    const { revision } = this.#memory.get("snapshot") ?? { revision: Number.MAX_SAFE_INTEGER };
    const query =
      "DELETE FROM departed WHERE deleted_at < ? AND (prefix <> ? OR revision <= ?) RETURNING size";
    const outlived = now - KEY_OUTLIVES_DELETION_MS;
    return this.#sql.exec(query, outlived, this.#memory.get("prefix"), revision).toArray().length;
  }
}
