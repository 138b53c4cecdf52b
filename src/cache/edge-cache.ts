import { countOf } from "../bytes/marks.ts";
import { perConfiguration } from "../configuration.ts";
import { Stopwatch } from "../observability/stopwatch.ts";
import type { RequestContext } from "../request-context.ts";
import type { Deadline } from "../time/deadline.ts";
import { type Contents, PRESENT, REMOVED } from "./contents.ts";
import { KeyReads, keysReadMs, ONE_ROUND_MS } from "./key-reads.ts";
import { type KeyValueStore, keyValueStore } from "./key-value-store.ts";
import type { Fault, Tally } from "./lookup-result.ts";
import { isSuspended } from "./manifest.ts";
import {
  type CachedManifest,
  isFresh,
  ManifestCache,
  markDelta,
  type TrustedManifest,
} from "./manifest-cache.ts";
import { loadMs, SnapshotCache } from "./snapshot-cache.ts";

type CacheTier = "memory" | "keys";

/** What the cache says of a request's resources. */
export interface CacheLookup {
  /** Of each resource 1 where the pool holds it, as far as may be said at this moment: what was read ages. */
  isPresent(): Uint8Array;
  /** Of each resource 1 where the delta says that it was removed; undefined where it says so of none. */
  isRemoved?: Uint8Array | undefined;
  /** Snapshot and changes, which an isolate has in memory, and the keys in KV. */
  tiers: Record<CacheTier, Tally>;
  faults: Fault[];
  /** Whether only the Cloud Controller may answer, which has denied what the cache claimed. */
  isSuspended: boolean;
}

/** What an isolate knows of the pool without asking the Cloud Controller: snapshot, changes and keys. */
export class EdgeCache {
  readonly #store: KeyValueStore;
  readonly #cacheTtl: number;
  readonly #manifests: ManifestCache;
  readonly #snapshots: SnapshotCache;

  /** @param cacheTtl seconds that KV may answer from its cache for a key, misses too */
  constructor(store: KeyValueStore, cacheTtl: number) {
    this.#store = store;
    this.#cacheTtl = cacheTtl;
    this.#manifests = new ManifestCache(store);
    this.#snapshots = new SnapshotCache(store);
  }

  /** Which of `contents` the pool holds. Never throws: what can't be found out in time is not held, and a fault. */
  async lookUp(
    contents: Contents,
    deadline: Deadline,
    { log, waitUntil }: Pick<RequestContext, "log" | "waitUntil">,
  ): Promise<CacheLookup> {
    const watch = new Stopwatch("memory", "keys");
    const { count } = contents;
    if (count === 0) return nothing(count, watch.ms);
    const keys = new KeyReads(this.#store, this.#cacheTtl, deadline);

    const known = this.#manifests.current(Date.now());
    if (known && this.#manifests.isDue(Date.now())) waitUntil(this.#manifests.renew(log));
    const copy = known ?? (await this.#renewed(contents, keys, deadline, watch, { log, waitUntil }));
    const noMatches = nothing(count, watch.ms, keys.asked);
    if (!copy)
      return { ...noMatches, faults: [unreadFault(count, ["the manifest can't be read"], "manifest")] };
    if (copy.kind === "distrusted") return noMatches;
    let marks = this.#marks(copy, contents);
    if (isSuspended(copy.manifest, Date.now())) {
      return { ...noMatches, isRemoved: removedIn(marks), isSuspended: true };
    }
    const loading = this.#missingSnapshot(copy);
    if (loading) {
      waitUntil(this.#snapshots.load(loading, log));
      const patience = keysReadMs(contents.unknown(marks).size);
      if (loadMs(loading) <= patience) {
        await this.#snapshots.settled(loading.id, Math.min(deadline.middle, Date.now() + patience));
        watch.lap("memory");
        marks = this.#marks(copy, contents);
      }
    }
    const { areKeysTrusted } = copy.manifest;
    let unknown = contents.unknown(marks);
    if (areKeysTrusted) await keys.read([...unknown.keys()]);
    watch.lap("keys");
    if (loading && [...unknown.keys()].some((key) => !keys.present.has(key))) {
      // A key may not be written yet of what the snapshot holds.
      await this.#snapshots.settled(loading.id, deadline.middle);
      watch.lap("memory");
      marks = this.#marks(copy, contents);
      unknown = contents.unknown(marks);
    }

    const inMemory = countOf(marks, PRESENT);
    const presentKeys = areKeysTrusted ? [...unknown].filter(([key]) => keys.present.has(key)) : [];
    for (const [, places] of presentKeys) for (const place of places) marks[place] = PRESENT;
    const isRemoved = removedIn(marks);
    const present = isRemoved ? marks.map((mark) => (mark === PRESENT ? 1 : 0)) : marks;
    // Keys may have been read in vain of what snapshot and changes then told.
    const unread = keys.unreadOf(unknown.keys());
    return {
      isPresent: () => (isFresh(copy, Date.now()) ? present : new Uint8Array(count)),
      isRemoved,
      tiers: {
        memory: { requested: count, matched: inMemory, ms: watch.ms.memory },
        keys: { requested: keys.asked, matched: presentKeys.length, ms: watch.ms.keys },
      },
      isSuspended: false,
      faults: unread > 0 ? [unreadFault(unread, keys.causes, "keys")] : [],
    };
  }

  /**
   * A new copy, for an isolate that has none or was idle. A few keys are read meanwhile, those that the copy will most
   * likely not resolve; many wait for it, since a snapshot may save them.
   */
  async #renewed(
    contents: Contents,
    keys: KeyReads,
    deadline: Deadline,
    watch: Stopwatch<CacheTier>,
    { log, waitUntil }: Pick<RequestContext, "log" | "waitUntil">,
  ): Promise<CachedManifest | undefined> {
    const likely = [...contents.unknown(this.#marks(this.#manifests.latest, contents)).keys()];
    const renewal = this.#manifests.renew(log);
    waitUntil(renewal);
    const early = keysReadMs(likely.length) <= ONE_ROUND_MS ? keys.read(likely) : undefined;
    const copy = await deadline.race(renewal).catch(() => undefined);
    watch.lap("memory");
    await early;
    watch.lap("keys");
    return copy;
  }

  #marks(copy: CachedManifest | undefined, contents: Contents): Uint8Array {
    const marks = new Uint8Array(contents.count);
    if (copy?.kind !== "current") return marks;
    const { snapshot, secret } = copy.manifest;
    if (snapshot) this.#snapshots.mark(snapshot.id, secret, contents, marks);
    markDelta(copy, contents, marks);
    return marks;
  }

  #missingSnapshot({ manifest: { snapshot } }: TrustedManifest) {
    return snapshot && !this.#snapshots.isLoaded(snapshot.id) ? snapshot : undefined;
  }
}

function removedIn(marks: Uint8Array): Uint8Array | undefined {
  return marks.includes(REMOVED) ? marks.map((mark) => (mark === REMOVED ? 1 : 0)) : undefined;
}

function nothing(count: number, ms: Record<CacheTier, number>, keysAsked = 0): CacheLookup {
  return {
    isPresent: () => new Uint8Array(count),
    tiers: {
      memory: { requested: count, matched: 0, ms: ms.memory },
      keys: { requested: keysAsked, matched: 0, ms: ms.keys },
    },
    isSuspended: false,
    faults: [],
  };
}

function unreadFault(unread: number, causes: string[], tier: string): Fault {
  return {
    warning: `The resource cache did not answer for ${unread} files: some may be uploaded although the platform holds them.`,
    details: { tier, unread, causes },
  };
}

export const edgeCacheOf = perConfiguration(
  ({ cache, keyPrefix, kvCacheTtl }) => new EdgeCache(keyValueStore(cache, keyPrefix), kvCacheTtl),
);
