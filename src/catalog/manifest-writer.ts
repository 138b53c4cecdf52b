import type { KeyValueStore } from "../cache/key-value-store.ts";
import { type CurrentPointer, changesName, POINTER_NAME, type Pointer, partName } from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import { LATE_WRITE_MS, MANIFEST_PACE_MS, MANIFEST_TOUCH_MS } from "../time/time-guarantees.ts";
import type { Memory, MemoryTable } from "./catalog-state.ts";
import { Changes } from "./delta.ts";
import { newId } from "./ids.ts";
import type { WrittenValues } from "./published-objects.ts";
import type { Suspension } from "./suspension.ts";

/** What a pointer is to tell: the catalog's state of one moment. */
type State = Pick<Memory, "prefix" | "epoch" | "revision" | "snapshot" | "secret"> &
  Pick<CurrentPointer, "changes" | "keysCount">;

/**
 * Writes the pointer and the changes since the snapshot. What is published is a function of the catalog's state: the
 * changes under a new name first, the pointer last; whatever is cut off in between is done anew.
 */
export class PointerWriter {
  readonly #memory: MemoryTable;
  readonly #values: WrittenValues;
  readonly #suspension: Suspension;
  readonly #changes: Changes;

  constructor(sql: SqlStorage, memory: MemoryTable, values: WrittenValues, suspension: Suspension) {
    this.#memory = memory;
    this.#values = values;
    this.#suspension = suspension;
    this.#changes = new Changes(sql, memory);
  }

  /** When the next pointer is due, in ms since the epoch. */
  dueAt(): number {
    const published = this.#memory.get("published");
    const notBefore = this.#memory.get("notBefore");
    if (published?.revision !== this.#memory.get("revision") || this.#memory.get("pointerInDoubt"))
      return notBefore;
    return Math.max(notBefore, Math.min(published.at + MANIFEST_TOUCH_MS, this.#memory.get("againAt")));
  }

  /** @throws where KV refuses a write; all is done anew at the next turn */
  async write(storeOf: (prefix: string) => KeyValueStore, now: number): Promise<void> {
    this.#memory.set({ notBefore: now + MANIFEST_PACE_MS, againAt: Number.MAX_SAFE_INTEGER });
    const { state, packed } = this.#compose(now);
    const store = storeOf(state.prefix);
    if (packed) await this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value));
    if (this.#isForgotten(state)) return;
    await this.#writePointer(store, state, now);
    if (this.#isForgotten(state)) return;
    this.#noteWritten(state, now);
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
    const dropped = this.#changes.dropOutlived(now);
    const keysCount = this.#changes.doKeysCount(prefix);
    const state = { prefix, epoch, revision, snapshot, secret, keysCount };
    if (dropped === 0 && published?.revision === revision) {
      return { state: { ...state, changes: published.changes }, packed: undefined };
    }
    const value = this.#changes.since(snapshot?.revision ?? 0, secret, prefix, keysCount);
    const [held, removed] = [value.held.length, value.removed.length];
    if (held + removed === 0) return { state: { ...state, changes: null }, packed: undefined };
    const changes = { id: newId(now), held, removed };
    return { state: { ...state, changes }, packed: { name: changesName(changes.id), value } };
  }

  /** Whether everything was forgotten since a state was composed. */
  #isForgotten({ epoch }: State): boolean {
    return this.#memory.get("epoch") !== epoch;
  }

  async #writePointer(
    store: KeyValueStore,
    { snapshot, secret, changes, keysCount }: State,
    now: number,
  ): Promise<void> {
    const memory = this.#memory;
    const wasInDoubt = memory.get("pointerInDoubt");
    const revision = memory.get("pointerRevision") + 1;
    if (wasInDoubt) memory.set({ doubtUntil: now + LATE_WRITE_MS });
    memory.set({ pointerRevision: revision, pointerInDoubt: true });
    const suspendedUntil = this.#suspension.until(now);
    const builtAt = new Date(snapshot?.builtAt ?? 0).toISOString();
    const pointer: Pointer = {
      version: 2,
      state: "current",
      revision,
      publishedAt: new Date(now).toISOString(),
      secret,
      snapshot: snapshot && { id: snapshot.id, entries: snapshot.entries, parts: snapshot.parts, builtAt },
      changes,
      keysCount,
      suspendedUntil: suspendedUntil === undefined ? null : new Date(suspendedUntil).toISOString(),
    };
    await store.put(POINTER_NAME, JSON.stringify(pointer));
    // Until a late write has had its time, whatever it replaces is written again at once.
    const again = now < memory.get("doubtUntil") ? now + MANIFEST_PACE_MS : Number.MAX_SAFE_INTEGER;
    // It may have been asked for while this one was under way.
    memory.set({ pointerInDoubt: false, againAt: Math.min(again, memory.get("againAt")) });
  }

  /** The pointer is written: what it does not name is superseded. */
  #noteWritten({ prefix, revision, snapshot, changes }: State, now: number): void {
    // What the pointer does not tell has come after its state was composed, at `now`, and before KV had taken the writes:
    // that is nearly since when, by some seconds, where a check of it counts minutes.
    const behindSince = revision === this.#memory.get("revision") ? null : now;
    this.#memory.set({ published: { revision, changes, at: now }, behindSince });
    const names = Array.from({ length: snapshot?.parts ?? 0 }, (_, part) =>
      partName(snapshot?.id ?? "", part),
    );
    if (changes) names.push(changesName(changes.id));
    this.#values.supersede(prefix, names, now);
  }
}
