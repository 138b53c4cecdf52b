import { markHeld } from "../bytes/marks.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import {
  MANIFEST_MAX_AGE_MS,
  MANIFEST_RENEWAL_AGE_MS,
  MANIFEST_RENEWAL_MAX_MS,
  MANIFEST_START_MAX_AGE_MS,
} from "../time/time-guarantees.ts";
import { TIMEOUT_MS, withTimeout } from "../time/timeouts.ts";
import { type Contents, HELD, REMOVED } from "./contents.ts";
import type { KeyValueStore } from "./key-value-store.ts";
import { type CurrentPointer, changesName, isTrusted, POINTER_NAME, parsePointer } from "./manifest.ts";
import { unpack } from "./packed-value.ts";

/** What the pointer and the changes said when they were read; it never changes. */
export type Copy = CurrentCopy | DistrustedCopy;

export interface CurrentCopy extends Changes {
  readonly kind: "current";
  readonly readAt: number;
  readonly pointer: CurrentPointer;
}

/** KV returned no manifest, or one that is retired or a day old: nothing of the cache counts. */
interface DistrustedCopy {
  readonly kind: "distrusted";
  readonly readAt: number;
}

/** Entry hashes under the pointer's secret, ascending. */
interface Changes {
  readonly held: BigUint64Array;
  readonly removed: BigUint64Array;
}

/** Whether answers may still be given from a copy: asked at the moment of the answer. */
export function counts({ readAt }: Copy, now: number): boolean {
  return now - readAt <= MANIFEST_MAX_AGE_MS;
}

/** Marks what the changes hold, and over all else what they say was removed. */
export function markChanges(
  { pointer, held, removed }: CurrentCopy,
  contents: Contents,
  marks: Uint8Array,
): void {
  const entries = contents.entries(pointer.secret);
  markHeld(held, entries, marks, HELD);
  markHeld(removed, entries, marks, REMOVED);
}

/**
 * An isolate's copy of pointer and changes. Requests share the copy but never a promise: the runtime may drop a
 * request's I/O with the request.
 */
export class Copies {
  readonly #store: KeyValueStore;
  #latest: Copy | undefined;
  #renewalBeganAt = Number.NEGATIVE_INFINITY;
  #complaint = "";

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** The copy that was read last, however old; good for guesses alone. */
  get latest(): Copy | undefined {
    return this.#latest;
  }

  /** The copy that a request may begin with. */
  current(now: number): Copy | undefined {
    return this.#latest && now - this.#latest.readAt <= MANIFEST_START_MAX_AGE_MS ? this.#latest : undefined;
  }

  /** Whether this request is to renew the copy behind its answer. */
  isDue(now: number): boolean {
    const age = now - (this.#latest?.readAt ?? Number.NEGATIVE_INFINITY);
    return age > MANIFEST_RENEWAL_AGE_MS && now - this.#renewalBeganAt > MANIFEST_RENEWAL_MAX_MS;
  }

  /** Reads a new copy; undefined where that fails, which is logged once. */
  async renew(log: Log): Promise<Copy | undefined> {
    this.#renewalBeganAt = Date.now();
    try {
      const copy = await withTimeout(TIMEOUT_MS.manifest, this.#read(Date.now()));
      this.#complaint = "";
      if (!this.#latest || copy.readAt >= this.#latest.readAt) this.#latest = copy;
      return counts(copy, Date.now()) ? copy : undefined;
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#complaint) log.warn("pointer-unreadable", { cause });
      this.#complaint = cause;
      return undefined;
    }
  }

  async #read(readAt: number): Promise<Copy> {
    // No longer, whatever KV_CACHE_TTL is for keys: a cached pointer hides removals.
    const json = await this.#store.getText(POINTER_NAME, KV_CACHE_TTL_MIN_SECONDS);
    const known = this.#latest && counts(this.#latest, Date.now()) ? this.#latest : undefined;
    if (json === null) {
      // KV caches misses, so the manifest may exist. Without its removals a key could be a stale match.
      return known?.kind === "current" ? known : { kind: "distrusted", readAt };
    }

    const pointer = parsePointer(json);
    if (!isTrusted(pointer, Date.now())) return { kind: "distrusted", readAt };
    if (known?.kind === "current") {
      // KV may show an older pointer than before, which is no news: the copy stays as old as it is.
      if (known.pointer.revision > pointer.revision) return known;
      const isSame =
        known.pointer.secret === pointer.secret && known.pointer.changes?.id === pointer.changes?.id;
      if (isSame) return { ...known, pointer, readAt };
    }
    return { kind: "current", pointer, readAt, ...(await this.#readChanges(pointer)) };
  }

  async #readChanges({ changes }: CurrentPointer): Promise<Changes> {
    const none = new BigUint64Array();
    if (!changes) return { held: none, removed: none };
    const name = changesName(changes.id);
    const buffer = await this.#store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
    if (buffer === null) throw new Error(`${name} is missing`);
    return unpack(buffer, name);
  }
}
