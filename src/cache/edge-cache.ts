import { countOf, markMembers } from "../bytes/marks.ts";
import { perConfiguration } from "../configuration.ts";
import { Stopwatch } from "../observability/stopwatch.ts";
import { cachePrefix } from "../placement/placement.ts";
import type { RequestContext } from "../request-context.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import { type Deadline, withTimeout } from "../time/deadline.ts";
import { type Contents, PRESENT, REMOVED } from "./contents.ts";
import { KeyReads, keysReadMs, ONE_ROUND_MS } from "./key-reads.ts";
import { type KeyValueStore, keyValueStore } from "./key-value-store.ts";
import type { Fault, Tally } from "./lookup-result.ts";
import { type CurrentManifest, INCOMPLETE_ENTRIES_MIN, isSuspended } from "./manifest.ts";
import { type CachedManifest, isFresh, isUsable, ManifestCache } from "./manifest-cache.ts";
import { loadMs, type NamedSnapshot, SnapshotCache } from "./snapshot-cache.ts";

type CacheTier = "memory" | "keys";
type LookupContext = Pick<RequestContext, "log" | "waitUntil">;

/** The result of a look-up in the cache. */
export interface CacheLookup {
  /** 1 for each content that is present in the pool. Call it last: the result is empty once the manifest is too old. */
  isPresent(): Uint8Array;
  /** 1 for each content that the delta has a tombstone of; undefined if there is none. */
  isRemoved?: Uint8Array | undefined;
  /** "memory" is snapshot and delta, "keys" is the keys in Workers KV. */
  tiers: Record<CacheTier, Tally>;
  faults: Fault[];
  /** Whether the catalog has suspended the cache: only the Cloud Controller matches. */
  isSuspended: boolean;
}

/** What snapshot and delta have: a mark for each content, and the keys of the contents that are marked UNKNOWN. */
interface FoundInMemory {
  marks: Uint8Array;
  unknown: Map<ResourceKey, number[]>;
}

/** Looks up contents in snapshot, delta and keys. */
export class EdgeCache {
  readonly #store: KeyValueStore;
  readonly #cacheTtl: number;
  readonly #manifests: ManifestCache;
  readonly #snapshots: SnapshotCache;

  /** @param cacheTtl seconds that KV may serve a key from its cache, misses too */
  constructor(store: KeyValueStore, cacheTtl: number) {
    this.#store = store;
    this.#cacheTtl = cacheTtl;
    this.#manifests = new ManifestCache(store);
    this.#snapshots = new SnapshotCache(store);
  }

  /** Starts what a request can read before its look-up. */
  startEarlyReads(context: LookupContext): EarlyReads {
    return new EarlyReads(this.#manifests, this.#snapshots, context);
  }

  /** Finds the contents that are present in the pool. Never throws: contents without a result in time are a fault. */
  lookUp(
    contents: Contents,
    deadline: Deadline,
    context: LookupContext,
    early?: EarlyReads,
  ): Promise<CacheLookup> {
    if (contents.count === 0) return Promise.resolve(noMatches(0));
    const reads = early ?? this.startEarlyReads(context);
    reads.loadSnapshot();
    const keys = new KeyReads(this.#store, this.#cacheTtl, deadline);
    return new Lookup(this.#manifests, this.#snapshots, keys, reads, contents, deadline, context).run();
  }
}

/**
 * The reads of a request that need not wait for its body and its token. The manifest is read at once, if the cached one is too old and
 * none was read in the last 30 s. So requests without a valid token cause few reads, and never load a snapshot.
 */
export class EarlyReads {
  /** The manifest, if this request reads it. It may be too old when a slow body has arrived. */
  readonly manifest: Promise<CachedManifest | undefined> | undefined;
  readonly #manifests: ManifestCache;
  readonly #snapshots: SnapshotCache;
  readonly #context: LookupContext;
  /** The manifest that this request has read. Its delta may not be there yet. */
  #named: CurrentManifest | undefined;
  #mayLoad = false;
  /** The first load of this snapshot. It ends at once if another request loads the snapshot. */
  #loading: { id: string; done: Promise<void> } | undefined;

  constructor(manifests: ManifestCache, snapshots: SnapshotCache, context: LookupContext) {
    this.#manifests = manifests;
    this.#snapshots = snapshots;
    this.#context = context;
    const now = Date.now();
    if (manifests.usable(now) || !manifests.mayReadEarly(now)) return;
    this.manifest = manifests.renew(context.log, this.noteManifest);
    // Otherwise the read would end with a request that is refused.
    context.waitUntil(this.manifest);
  }

  /** A manifest was read. */
  readonly noteManifest = (manifest: CurrentManifest): void => {
    this.#named = manifest;
    if (this.#mayLoad) this.loadSnapshot();
  };

  /** Loads the snapshot as soon as the manifest is there. To be called when the caller is authenticated. */
  loadSnapshot(): void {
    this.#mayLoad = true;
    const { snapshot } = this.#newest() ?? {};
    if (!snapshot || this.#snapshots.isLoaded(snapshot.id)) return;
    const done = this.#snapshots.load(snapshot, this.#context.log);
    this.#context.waitUntil(done);
    if (this.#loading?.id !== snapshot.id) this.#loading = { id: snapshot.id, done };
  }

  /** Waits until the snapshot is loaded, by this request or another one, at most until `time`. */
  async waitForSnapshot({ id }: NamedSnapshot, time: number): Promise<void> {
    const { done } = this.#loading?.id === id ? this.#loading : {};
    if (done) await withTimeout(Math.max(0, time - Date.now()), done).catch(() => {});
    await this.#snapshots.waitForLoad(id, time);
  }

  /** Another request may have read a later manifest while the body arrived. */
  #newest(): CurrentManifest | undefined {
    const cached = this.#manifests.usable(Date.now())?.manifest;
    if (!cached || !this.#named) return cached ?? this.#named;
    return cached.revision > this.#named.revision ? cached : this.#named;
  }
}

/** The look-up of one request. */
class Lookup {
  readonly #manifests: ManifestCache;
  readonly #snapshots: SnapshotCache;
  readonly #keys: KeyReads;
  readonly #early: EarlyReads;
  readonly #contents: Contents;
  readonly #deadline: Deadline;
  readonly #context: LookupContext;
  readonly #watch = new Stopwatch<CacheTier>("memory", "keys");

  constructor(
    manifests: ManifestCache,
    snapshots: SnapshotCache,
    keys: KeyReads,
    early: EarlyReads,
    contents: Contents,
    deadline: Deadline,
    context: LookupContext,
  ) {
    this.#manifests = manifests;
    this.#snapshots = snapshots;
    this.#keys = keys;
    this.#early = early;
    this.#contents = contents;
    this.#deadline = deadline;
    this.#context = context;
  }

  async run(): Promise<CacheLookup> {
    const { count } = this.#contents;
    const cached = this.#usableManifest() ?? (await this.#readManifest());
    if (!cached) {
      const fault = unreadFault("manifest", count, ["the manifest can't be read"]);
      return { ...this.#noMatches(), faults: [fault] };
    }
    const { manifest } = cached;
    if (!manifest) return this.#noMatches();

    let found = this.#lookUpInMemory(cached);
    if (isSuspended(manifest, Date.now())) {
      return { ...this.#noMatches(), isRemoved: removedIn(found.marks), isSuspended: true };
    }
    const loading = this.#startLoading(manifest);
    const keysMs = keysReadMs(found.unknown.size);
    if (loading && (isComplete(loading) || loadMs(loading) <= keysMs)) {
      await this.#waitForSnapshot(loading, isComplete(loading) ? undefined : Date.now() + keysMs);
      found = this.#lookUpInMemory(cached);
    }
    if (this.#needsKeys(manifest)) await this.#keys.read([...found.unknown.keys()]);
    this.#watch.lap("keys");
    if (loading && [...found.unknown.keys()].some((key) => !this.#keys.present.has(key))) {
      // Keys are written after the snapshot, so it may have contents whose key is not written yet.
      await this.#waitForSnapshot(loading);
      found = this.#lookUpInMemory(cached);
    }
    return this.#matches(cached, found);
  }

  /** The cached manifest, if a request may start with it. It is renewed after the response if that is due. */
  #usableManifest(): CachedManifest | undefined {
    const usable = this.#manifests.usable(Date.now());
    if (usable && this.#manifests.isRenewalDue(Date.now())) {
      this.#renewManifest();
    }
    return usable;
  }

  /**
   * Waits for the early read of the manifest, or reads it. Keys that it will probably not resolve are read at the same time if they are
   * few. If they are many, or this is the first manifest of the isolate, they are read later: the snapshot may resolve them.
   */
  async #readManifest(): Promise<CachedManifest | undefined> {
    const { latest } = this.#manifests;
    const { unknown } = this.#lookUpInMemory(latest);
    const reading = this.#early.manifest ?? this.#renewManifest();
    const isOneRound = keysReadMs(unknown.size) <= ONE_ROUND_MS;
    const needsKeys = latest?.manifest && this.#needsKeys(latest.manifest);
    const keyReads = needsKeys && isOneRound ? this.#keys.read([...unknown.keys()]) : undefined;
    let read = await this.#deadline.race(reading).catch(() => undefined);
    // The early read failed, or the body was slow.
    if (this.#early.manifest && !(read && isUsable(read, Date.now()))) {
      read = await this.#deadline.race(this.#renewManifest()).catch(() => undefined);
    }
    this.#watch.lap("memory");
    await keyReads;
    this.#watch.lap("keys");
    return read;
  }

  #renewManifest(): Promise<CachedManifest | undefined> {
    const renewal = this.#manifests.renew(this.#context.log, this.#early.noteManifest);
    this.#context.waitUntil(renewal);
    return renewal;
  }

  /** Whether a content that is neither in the snapshot nor in the delta may have a key. */
  #needsKeys({ snapshot, areKeysTrusted }: CurrentManifest): boolean {
    const hasAll = snapshot !== null && isComplete(snapshot) && this.#snapshots.isLoaded(snapshot.id);
    return areKeysTrusted && !hasAll;
  }

  /** Looks up the contents in snapshot and delta. */
  #lookUpInMemory(cached: CachedManifest | undefined): FoundInMemory {
    const marks = new Uint8Array(this.#contents.count);
    if (cached?.manifest) {
      const { snapshot, secret } = cached.manifest;
      if (snapshot) this.#snapshots.mark(snapshot.id, secret, this.#contents, marks);
      const entries = this.#contents.entries(secret);
      markMembers(cached.delta.added, entries, marks, PRESENT);
      // A tombstone overwrites any other mark.
      markMembers(cached.delta.removed, entries, marks, REMOVED);
    }
    return { marks, unknown: this.#contents.unknown(marks) };
  }

  /** @returns the snapshot, unless it is loaded already */
  #startLoading(manifest: CurrentManifest): NamedSnapshot | undefined {
    this.#early.noteManifest(manifest);
    const { snapshot } = manifest;
    return snapshot && !this.#snapshots.isLoaded(snapshot.id) ? snapshot : undefined;
  }

  /** Waits for a load until `time`, and never longer than half of the request's deadline. */
  async #waitForSnapshot(snapshot: NamedSnapshot, time = Number.POSITIVE_INFINITY): Promise<void> {
    await this.#early.waitForSnapshot(snapshot, Math.min(this.#deadline.halfTimeAt, time));
    this.#watch.lap("memory");
  }

  #matches(cached: CachedManifest, { marks, unknown }: FoundInMemory): CacheLookup {
    const { count } = this.#contents;
    const keys = this.#keys;
    const lookup = this.#noMatches();
    lookup.tiers.memory.matched = countOf(marks, PRESENT);
    for (const [key, indices] of cached.manifest?.areKeysTrusted ? unknown : []) {
      if (!keys.present.has(key)) continue;
      lookup.tiers.keys.matched += 1;
      for (const index of indices) marks[index] = PRESENT;
    }
    const isRemoved = removedIn(marks);
    const present = isRemoved ? marks.map((mark) => (mark === PRESENT ? 1 : 0)) : marks;
    // A key whose read failed is no fault if snapshot or delta resolved it since.
    const unread = keys.unreadOf(unknown.keys());
    return {
      ...lookup,
      isPresent: () => (isFresh(cached, Date.now()) ? present : new Uint8Array(count)),
      isRemoved,
      faults: unread > 0 ? [unreadFault("keys", unread, keys.causes)] : [],
    };
  }

  #noMatches(): CacheLookup {
    const { memory, keys } = this.#watch.ms;
    return noMatches(this.#contents.count, { requested: this.#keys.requested, matched: 0, ms: keys }, memory);
  }
}

function noMatches(
  count: number,
  keys: Tally = { requested: 0, matched: 0, ms: 0 },
  memoryMs = 0,
): CacheLookup {
  return {
    isPresent: () => new Uint8Array(count),
    tiers: { memory: { requested: count, matched: 0, ms: memoryMs }, keys },
    isSuspended: false,
    faults: [],
  };
}

/** A smaller snapshot has all resources of the pool. Tests reduce it. */
export const COMPLETE_SNAPSHOT = { lessThan: INCOMPLETE_ENTRIES_MIN };

/** Whether it has all resources of the pool as of its time. The delta has the changes since. */
function isComplete({ entries }: NamedSnapshot): boolean {
  return entries < COMPLETE_SNAPSHOT.lessThan;
}

function removedIn(marks: Uint8Array): Uint8Array | undefined {
  return marks.includes(REMOVED) ? marks.map((mark) => (mark === REMOVED ? 1 : 0)) : undefined;
}

function unreadFault(tier: "manifest" | "keys", unread: number, causes: string[]): Fault {
  return {
    warning: `The resource cache could not look up ${unread} files: some may be uploaded although the platform has them.`,
    details: { tier, unread, causes },
  };
}

export const edgeCacheOf = perConfiguration(
  ({ cache, keyPrefix, jurisdiction, kvCacheTtl }) =>
    new EdgeCache(keyValueStore(cache, cachePrefix(keyPrefix, jurisdiction)), kvCacheTtl),
);
