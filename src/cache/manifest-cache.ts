import { base64url } from "jose";
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
import type { KeyValueStore } from "./key-value-store.ts";
import { type CurrentManifest, deltaName, isTrusted, MANIFEST_NAME, parseManifest } from "./manifest.ts";
import { type PackedValue, unpack } from "./packed-value.ts";

/** Manifest and delta as they were read. Immutable. */
export interface CachedManifest {
  /** When the read started, in ms since the epoch. */
  readonly readAt: number;
  /** Undefined if KV returned none, or one that is retired or a day old: the cache matches nothing. */
  readonly manifest: CurrentManifest | undefined;
  /** Empty without a manifest. */
  readonly delta: PackedValue;
}

/** Whether a response may still use it. */
export function isFresh({ readAt }: CachedManifest, now: number): boolean {
  return now - readAt <= MANIFEST_MAX_AGE_MS;
}

/** Whether it is young enough to stay fresh until a look-up that starts now ends. */
export function isUsable({ readAt }: CachedManifest, now: number): boolean {
  return now - readAt <= MANIFEST_START_MAX_AGE_MS;
}

type OnManifest = (manifest: CurrentManifest) => void;

const EMPTY_DELTA = { added: new BigUint64Array(), removed: new BigUint64Array() };

/**
 * Manifest and delta in the memory of an isolate. Requests share the values but never a promise: the runtime may cancel the
 * I/O of a request together with that request.
 */
export class ManifestCache {
  readonly #store: KeyValueStore;
  #latest: CachedManifest | undefined;
  #renewalStartedAt = Number.NEGATIVE_INFINITY;
  #loggedCause = "";

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** The last one that was read, of any age. Do not match with it. */
  get latest(): CachedManifest | undefined {
    return this.#latest;
  }

  /** The cached manifest, if it is usable. */
  usable(now: number): CachedManifest | undefined {
    return this.#latest && isUsable(this.#latest, now) ? this.#latest : undefined;
  }

  /** Whether the current request is to renew the manifest after its response. */
  isRenewalDue(now: number): boolean {
    const ageMs = now - (this.#latest?.readAt ?? Number.NEGATIVE_INFINITY);
    return ageMs > MANIFEST_RENEWAL_AGE_MS && now - this.#renewalStartedAt > MANIFEST_RENEWAL_MAX_MS;
  }

  /** Whether a request may read the manifest before its caller is authenticated: at most every 30 s. */
  mayReadEarly(now: number): boolean {
    return now - this.#renewalStartedAt > MANIFEST_RENEWAL_AGE_MS;
  }

  /**
   * Reads manifest and delta. Returns undefined if that fails; each cause is logged once.
   *
   * @param onManifest is called with the manifest, before a delta of its own is read
   */
  async renew(log: Log, onManifest: OnManifest = () => {}): Promise<CachedManifest | undefined> {
    this.#renewalStartedAt = Date.now();
    try {
      const renewed = await withTimeout(TIMEOUT_MS.manifest, this.#read(Date.now(), onManifest));
      this.#loggedCause = "";
      if (!this.#latest || renewed.readAt >= this.#latest.readAt) this.#latest = renewed;
      return isFresh(renewed, Date.now()) ? renewed : undefined;
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#loggedCause) log.warn("manifest-unreadable", { cause });
      this.#loggedCause = cause;
      return undefined;
    }
  }

  async #read(readAt: number, onManifest: OnManifest): Promise<CachedManifest> {
    // The shortest TTL, not KV_CACHE_TTL: a manifest in KV's cache hides removals.
    const json = await this.#store.getText(MANIFEST_NAME, KV_CACHE_TTL_MIN_SECONDS);
    const cached = this.#latest?.manifest && isFresh(this.#latest, Date.now()) ? this.#latest : undefined;
    const distrusted = { readAt, manifest: undefined, delta: EMPTY_DELTA };
    // KV caches misses, so the manifest may exist. Without its removals a key could be a stale match.
    if (json === null) return cached ?? distrusted;

    const manifest = parseManifest(json);
    if (!isTrusted(manifest, Date.now())) return distrusted;
    const previous = cached?.manifest;
    // KV may return an older manifest than before. The cached one keeps its age.
    if (previous && previous.revision > manifest.revision) return cached;
    onManifest(manifest);
    const isSameDelta = previous?.secret === manifest.secret && previous.delta?.id === manifest.delta?.id;
    const delta = cached && isSameDelta ? cached.delta : await this.#readDelta(manifest);
    return { readAt, manifest, delta };
  }

  async #readDelta({ delta }: CurrentManifest): Promise<PackedValue> {
    if (!delta) return EMPTY_DELTA;
    const name = deltaName(delta.id);
    if (delta.packed !== null) return unpack(base64url.decode(delta.packed).buffer as ArrayBuffer, name);
    const buffer = await this.#store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
    if (buffer === null) throw new Error(`${name} is missing`);
    return unpack(buffer, name);
  }
}
