import { markMembers } from "../bytes/marks.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import { withTimeout } from "../time/deadline.ts";
import {
  MANIFEST_MAX_AGE_MS,
  MANIFEST_RENEWAL_AGE_MS,
  MANIFEST_RENEWAL_MAX_MS,
  MANIFEST_START_MAX_AGE_MS,
  TIMEOUT_MS,
} from "../time/time-guarantees.ts";
import { type Contents, PRESENT, REMOVED } from "./contents.ts";
import type { KeyValueStore } from "./key-value-store.ts";
import { type CurrentManifest, deltaName, isTrusted, MANIFEST_NAME, parseManifest } from "./manifest.ts";
import { unpack } from "./packed-value.ts";

/** What the manifest and the delta said when they were read; it never delta. */
export type CachedManifest = TrustedManifest | DistrustedManifest;

export interface TrustedManifest extends Delta {
  readonly kind: "current";
  readonly readAt: number;
  readonly manifest: CurrentManifest;
}

/** KV returned no manifest, or one that is retired or a day old: nothing of the cache counts. */
interface DistrustedManifest {
  readonly kind: "distrusted";
  readonly readAt: number;
}

/** Entry hashes under the manifest's secret, ascending. */
interface Delta {
  readonly added: BigUint64Array;
  readonly removed: BigUint64Array;
}

/** Whether answers may still be given from a copy: asked at the moment of the answer. */
export function isFresh({ readAt }: CachedManifest, now: number): boolean {
  return now - readAt <= MANIFEST_MAX_AGE_MS;
}

/** Marks what the delta hold, and over all else what they say was removed. */
export function markDelta(
  { manifest, added, removed }: TrustedManifest,
  contents: Contents,
  marks: Uint8Array,
): void {
  const entries = contents.entries(manifest.secret);
  markMembers(added, entries, marks, PRESENT);
  markMembers(removed, entries, marks, REMOVED);
}

/**
 * An isolate's copy of manifest and delta. Requests share the copy but never a promise: the runtime may drop a
 * request's I/O with the request.
 */
export class ManifestCache {
  readonly #store: KeyValueStore;
  #latest: CachedManifest | undefined;
  #renewalBeganAt = Number.NEGATIVE_INFINITY;
  #loggedCause = "";

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** The copy that was read last, however old; good for guesses alone. */
  get latest(): CachedManifest | undefined {
    return this.#latest;
  }

  /** The copy that a request may begin with. */
  current(now: number): CachedManifest | undefined {
    return this.#latest && now - this.#latest.readAt <= MANIFEST_START_MAX_AGE_MS ? this.#latest : undefined;
  }

  /** Whether this request is to renew the copy behind its answer. */
  isDue(now: number): boolean {
    const age = now - (this.#latest?.readAt ?? Number.NEGATIVE_INFINITY);
    return age > MANIFEST_RENEWAL_AGE_MS && now - this.#renewalBeganAt > MANIFEST_RENEWAL_MAX_MS;
  }

  /** Reads a new copy; undefined where that fails, which is logged once. */
  async renew(log: Log): Promise<CachedManifest | undefined> {
    this.#renewalBeganAt = Date.now();
    try {
      const copy = await withTimeout(TIMEOUT_MS.manifest, this.#read(Date.now()));
      this.#loggedCause = "";
      if (!this.#latest || copy.readAt >= this.#latest.readAt) this.#latest = copy;
      return isFresh(copy, Date.now()) ? copy : undefined;
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#loggedCause) log.warn("manifest-unreadable", { cause });
      this.#loggedCause = cause;
      return undefined;
    }
  }

  async #read(readAt: number): Promise<CachedManifest> {
    // No longer, whatever KV_CACHE_TTL is for keys: a cached manifest hides removals.
    const json = await this.#store.getText(MANIFEST_NAME, KV_CACHE_TTL_MIN_SECONDS);
    const known = this.#latest && isFresh(this.#latest, Date.now()) ? this.#latest : undefined;
    if (json === null) {
      // KV caches misses, so the manifest may exist. Without its removals a key could be a stale match.
      return known?.kind === "current" ? known : { kind: "distrusted", readAt };
    }

    const manifest = parseManifest(json);
    if (!isTrusted(manifest, Date.now())) return { kind: "distrusted", readAt };
    if (known?.kind === "current") {
      // KV may show an older manifest than before, which is no news: the copy stays as old as it is.
      if (known.manifest.revision > manifest.revision) return known;
      const isSame =
        known.manifest.secret === manifest.secret && known.manifest.delta?.id === manifest.delta?.id;
      if (isSame) return { ...known, manifest: manifest, readAt };
    }
    return { kind: "current", manifest: manifest, readAt, ...(await this.#readDelta(manifest)) };
  }

  async #readDelta({ delta }: CurrentManifest): Promise<Delta> {
    const none = new BigUint64Array();
    if (!delta) return { added: none, removed: none };
    const name = deltaName(delta.id);
    const buffer = await this.#store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
    if (buffer === null) throw new Error(`${name} is missing`);
    return unpack(buffer, name);
  }
}
