import type { KeyValueStore } from "../cache/key-value-store.ts";
import {
  type CurrentManifest,
  deltaName,
  MANIFEST_NAME,
  type Manifest,
  partName,
} from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import { LATE_WRITE_MS, MANIFEST_PACE_MS, MANIFEST_TOUCH_MS } from "../time/time-guarantees.ts";
import type { CatalogState, State } from "./catalog-state.ts";
import { DeltaReader } from "./delta.ts";
import { newId } from "./ids.ts";
import type { PublishedObjects } from "./published-objects.ts";
import type { Suspension } from "./suspension.ts";

/** What a manifest is to tell: the catalog's state of one moment. */
type ManifestState = Pick<State, "prefix" | "epoch" | "revision" | "snapshot" | "secret"> &
  Pick<CurrentManifest, "delta" | "areKeysTrusted">;

/**
 * Writes the manifest and the delta since the snapshot. What is published is a function of the catalog's state: the
 * delta under a new name first, the manifest last; whatever is cut off in between is done anew.
 */
export class ManifestWriter {
  readonly #memory: CatalogState;
  readonly #values: PublishedObjects;
  readonly #suspension: Suspension;
  readonly #delta: DeltaReader;

  constructor(sql: SqlStorage, memory: CatalogState, values: PublishedObjects, suspension: Suspension) {
    this.#memory = memory;
    this.#values = values;
    this.#suspension = suspension;
    this.#delta = new DeltaReader(sql, memory);
  }

  /** When the next manifest is due, in ms since the epoch. */
  dueAt(): number {
    const published = this.#memory.get("published");
    const notBefore = this.#memory.get("notBefore");
    if (published?.revision !== this.#memory.get("revision") || this.#memory.get("isManifestUncertain"))
      return notBefore;
    return Math.max(
      notBefore,
      Math.min(published.at + MANIFEST_TOUCH_MS, this.#memory.get("rewriteManifestAt")),
    );
  }

  /** @throws where KV refuses a write; all is done anew at the next turn */
  async write(storeOf: (prefix: string) => KeyValueStore, now: number): Promise<void> {
    this.#memory.set({ notBefore: now + MANIFEST_PACE_MS, rewriteManifestAt: Number.MAX_SAFE_INTEGER });
    const { state, packed } = this.#compose(now);
    const store = storeOf(state.prefix);
    if (packed) await this.#values.write(store, state.prefix, packed.name, pack(packed.name, packed.value));
    if (this.#isForgotten(state)) return;
    await this.#writeManifest(store, state, now);
    if (this.#isForgotten(state)) return;
    this.#noteWritten(state, now);
  }

  /** The state of one moment; `packed` is what has to be written of it, if the delta are not the published ones. */
  #compose(now: number) {
    const memory = this.#memory;
    const [prefix, epoch, revision] = [memory.get("prefix"), memory.get("epoch"), memory.get("revision")];
    const [snapshot, secret, published] = [
      memory.get("snapshot"),
      memory.get("secret"),
      memory.get("published"),
    ];
    const dropped = this.#delta.dropOutlived(now);
    const areKeysTrusted = this.#delta.areKeysTrusted(prefix);
    const state = { prefix, epoch, revision, snapshot, secret, areKeysTrusted };
    if (dropped === 0 && published?.revision === revision) {
      return { state: { ...state, delta: published.delta }, packed: undefined };
    }
    const value = this.#delta.since(snapshot?.revision ?? 0, secret, prefix, areKeysTrusted);
    const [added, removed] = [value.added.length, value.removed.length];
    if (added + removed === 0) return { state: { ...state, delta: null }, packed: undefined };
    const delta = { id: newId(now), added, removed };
    return { state: { ...state, delta }, packed: { name: deltaName(delta.id), value } };
  }

  /** Whether everything was forgotten since a state was composed. */
  #isForgotten({ epoch }: ManifestState): boolean {
    return this.#memory.get("epoch") !== epoch;
  }

  async #writeManifest(
    store: KeyValueStore,
    { snapshot, secret, delta, areKeysTrusted }: ManifestState,
    now: number,
  ): Promise<void> {
    const memory = this.#memory;
    const wasInDoubt = memory.get("isManifestUncertain");
    const revision = memory.get("manifestRevision") + 1;
    if (wasInDoubt) memory.set({ uncertainUntil: now + LATE_WRITE_MS });
    memory.set({ manifestRevision: revision, isManifestUncertain: true });
    const suspendedUntil = this.#suspension.until(now);
    const builtAt = new Date(snapshot?.builtAt ?? 0).toISOString();
    const manifest: Manifest = {
      version: 2,
      state: "current",
      revision,
      publishedAt: new Date(now).toISOString(),
      secret,
      snapshot: snapshot && { id: snapshot.id, entries: snapshot.entries, parts: snapshot.parts, builtAt },
      delta: delta,
      areKeysTrusted: areKeysTrusted,
      suspendedUntil: suspendedUntil === undefined ? null : new Date(suspendedUntil).toISOString(),
    };
    await store.put(MANIFEST_NAME, JSON.stringify(manifest));
    // Until a late write has had its time, whatever it replaces is written again at once.
    const again = now < memory.get("uncertainUntil") ? now + MANIFEST_PACE_MS : Number.MAX_SAFE_INTEGER;
    // It may have been asked for while this one was under way.
    memory.set({
      isManifestUncertain: false,
      rewriteManifestAt: Math.min(again, memory.get("rewriteManifestAt")),
    });
  }

  /** The manifest is written: what it does not name is superseded. */
  #noteWritten({ prefix, revision, snapshot, delta }: ManifestState, now: number): void {
    // What the manifest does not tell has come after its state was composed, at `now`, and before KV had taken the writes:
    // that is nearly since when, by some seconds, where a check of it counts minutes.
    const dirtySince = revision === this.#memory.get("revision") ? null : now;
    this.#memory.set({ published: { revision, delta, at: now }, dirtySince: dirtySince });
    const names = Array.from({ length: snapshot?.parts ?? 0 }, (_, part) =>
      partName(snapshot?.id ?? "", part),
    );
    if (delta) names.push(deltaName(delta.id));
    this.#values.supersede(prefix, names, now);
  }
}
