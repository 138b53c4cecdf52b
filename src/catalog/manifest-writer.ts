import { base64url } from "jose";
import { deltaName, FORMAT_VERSION, MANIFEST_NAME, type Manifest, partName } from "../cache/manifest.ts";
import { pack } from "../cache/packed-value.ts";
import {
  LATE_WRITE_MS,
  MANIFEST_PACE_MS,
  MANIFEST_TOUCH_MS,
  TOMBSTONE_KEPT_MS,
} from "../time/time-guarantees.ts";
import type { CatalogStorage, Published, State, StoredState } from "./catalog-storage.ts";
import type { DeltaReader } from "./delta-reader.ts";
import type { EntryRow } from "./entry-list.ts";
import { newObjectId, type PublishedObjects, type StoreOf } from "./published-objects.ts";
import { suspendedUntil } from "./suspension.ts";
import { isoTime, NEVER } from "./times.ts";

/** The most keys that a delta overrules, 4 MB. If there are more, no key is trusted. */
const OVERRULED_KEYS_MAX = 500_000;

/** A larger delta is an object of its own, which takes readers a second round trip. Tests reduce it. */
export const INLINE_DELTA = { maxBytes: 65_536 };

/** Writes the manifest and the delta that it names, and retires the manifests of former prefixes. */
export class ManifestWriter {
  readonly #storage: CatalogStorage;
  readonly #objects: PublishedObjects;
  readonly #delta: DeltaReader;
  readonly #storeOf: StoreOf;

  constructor(storage: CatalogStorage, objects: PublishedObjects, delta: DeltaReader, storeOf: StoreOf) {
    this.#storage = storage;
    this.#objects = objects;
    this.#delta = delta;
    this.#storeOf = storeOf;
  }

  /** Runs the steps 1 to 4 of the publisher for the delta. @throws if KV refuses a write */
  async writeIfDue(): Promise<void> {
    const now = Date.now();
    if (manifestDueAt(this.#storage.state, now) > now) return;
    await this.#delta.restore(this.#storage.state, this.#storeOf(this.#storage.state.prefix));
    const expired = this.#storage.change((draft) => {
      draft.manifest.notBefore = now + MANIFEST_PACE_MS;
      return this.#deleteExpiredTombstones(draft, now);
    });
    // Later changes do not alter this object: delta and manifest show the catalog at one moment.
    const state = this.#storage.state;
    const areKeysTrusted = state.keys.overruled <= OVERRULED_KEYS_MAX;
    this.#delta.leaveOut(expired);
    const published = isPublished(state) && expired.length === 0 ? state.manifest.published : null;
    // A delta in the manifest is packed again, because the state does not have it.
    const { delta, packed } =
      published && (published.delta === null || published.delta.isObject)
        ? { delta: published.delta, packed: null }
        : await this.#writeDelta(state, areKeysTrusted, now);
    if (this.#storage.state.epoch !== state.epoch) return;

    this.#storage.change(({ manifest }) => {
      if (manifest.isWriteUncertain) manifest.uncertainUntil = now + LATE_WRITE_MS;
      manifest.isWriteUncertain = true;
      manifest.rewriteAt = null;
      manifest.revision += 1;
    });
    const snapshot = state.snapshot.current;
    const manifest: Manifest = {
      version: FORMAT_VERSION,
      state: "current",
      revision: this.#storage.state.manifest.revision,
      publishedAt: new Date(now).toISOString(),
      secret: state.secret,
      snapshot: snapshot && {
        id: snapshot.id,
        entries: snapshot.entries,
        parts: snapshot.parts,
        builtAt: new Date(snapshot.builtAt).toISOString(),
        completedAt: new Date(snapshot.completedAt).toISOString(),
      },
      delta: delta && { id: delta.id, added: delta.added, removed: delta.removed, packed },
      areKeysTrusted,
      // It may have changed since the delta was read.
      suspendedUntil: isoTime(suspendedUntil(this.#storage.state, now)),
    };
    await this.#storeOf(state.prefix).put(MANIFEST_NAME, JSON.stringify(manifest));

    const names = snapshot
      ? Array.from({ length: snapshot.parts }, (_, part) => partName(snapshot.id, part))
      : [];
    if (delta?.isObject) names.push(deltaName(delta.id));
    this.#storage.change((draft) => {
      const { uncertainUntil, rewriteAt } = draft.manifest;
      const isLateWritePossible = uncertainUntil !== null && now < uncertainUntil;
      draft.manifest.isWriteUncertain = false;
      // A suspension may have set rewriteAt during the write.
      if (isLateWritePossible) {
        draft.manifest.rewriteAt = Math.min(rewriteAt ?? NEVER, now + MANIFEST_PACE_MS);
      }
      if (draft.epoch !== state.epoch) return;
      const { revision } = state;
      const snapshotId = snapshot?.id ?? null;
      draft.manifest.published = { revision, snapshotId, delta, areKeysTrusted, at: now };
      // Changes that the manifest lacks were recorded after `now`, during the writes.
      draft.dirtySince = draft.revision === revision ? null : now;
      this.#objects.supersede(state.prefix, names, now);
    });
  }

  /**
   * Marks the manifest of each former prefix as retired, so that the prefix can be used again without its old
   * entries. It is done twice, because an earlier write of that manifest may land late.
   */
  async retireFormerPrefixes(now: number): Promise<void> {
    for (const { prefix, writtenAt } of this.#storage.state.retired) {
      if (writtenAt !== null && now < writtenAt + LATE_WRITE_MS) continue;
      const publishedAt = new Date(now).toISOString();
      const manifest: Manifest = { version: FORMAT_VERSION, state: "retired", publishedAt };
      await this.#storeOf(prefix).put(MANIFEST_NAME, JSON.stringify(manifest));
      this.#storage.change((draft) => {
        this.#objects.supersede(prefix, [], now);
        draft.retired = draft.retired.filter((one) => one.prefix !== prefix);
        if (writtenAt === null) draft.retired.push({ prefix, writtenAt: now });
      });
    }
  }

  /**
   * Deletes tombstones if no cache of KV can serve the key and no snapshot has the entry (R1.4).
   *
   * @returns those of the current prefix
   */
  #deleteExpiredTombstones({ prefix, revision, snapshot, keys }: State, now: number): EntryRow[] {
    const query = `DELETE FROM tombstones
      WHERE has_key = 1 AND key_deleted_at < ? AND (prefix <> ? OR revision <= ?) RETURNING sha1, size, prefix`;
    const expired = now - TOMBSTONE_KEPT_MS;
    const lastRevision = snapshot.current?.revision ?? revision;
    const rows = this.#storage.sql.exec(query, expired, prefix, lastRevision);
    const deleted = [...rows.raw<[...EntryRow, prefix: string]>()];
    const current = deleted.filter((row) => row[2] === prefix).map(([sha1, size]): EntryRow => [sha1, size]);
    keys.overruled -= current.length;
    return current;
  }

  /**
   * Packs the delta, and stores it as an object if it is large.
   *
   * @returns null for an empty delta; `packed` in base64url for one that the manifest contains
   */
  async #writeDelta(
    state: StoredState,
    areKeysTrusted: boolean,
    now: number,
  ): Promise<{ delta: Published["delta"]; packed: string | null }> {
    const value = this.#delta.read(state, areKeysTrusted);
    const [added, removed] = [value.added.length, value.removed.length];
    if (added + removed === 0) return { delta: null, packed: null };
    const id = newObjectId(now);
    const name = deltaName(id);
    const packed = pack(name, value);
    const isObject = packed.length > INLINE_DELTA.maxBytes;
    if (isObject) await this.#objects.write(state.prefix, name, packed);
    return { delta: { id, added, removed, isObject }, packed: isObject ? null : base64url.encode(packed) };
  }
}

/** When the manifest is to be written, in ms since the epoch. */
export function manifestDueAt(state: StoredState, now: number): number {
  const { published, isWriteUncertain, rewriteAt, notBefore } = state.manifest;
  const first = Math.max(now, notBefore ?? now);
  if (published === null || !isPublished(state) || isWriteUncertain) return first;
  return Math.max(first, Math.min(published.at + MANIFEST_TOUCH_MS, rewriteAt ?? NEVER));
}

/** When the manifest of a former prefix is to be written, in ms since the epoch; NEVER if there is none. */
export function retirementDueAt({ retired }: StoredState, now: number): number {
  return Math.min(...retired.map(({ writtenAt }) => (writtenAt === null ? now : writtenAt + LATE_WRITE_MS)));
}

/** Whether the last manifest has all changes and names the current snapshot. */
function isPublished({ revision, snapshot, manifest: { published } }: StoredState): boolean {
  return published?.revision === revision && published.snapshotId === (snapshot.current?.id ?? null);
}
