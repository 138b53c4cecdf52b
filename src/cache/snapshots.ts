import { causeOf, type Log } from "../log.ts";
import { inTime, PATIENCE_MS } from "../patience.ts";
import { KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import { type Contents, HELD } from "./contents.ts";
import type { EntryHash } from "./entry-hash.ts";
import { EntrySet } from "./entry-set.ts";
import type { KeyValueStore } from "./key-value-store.ts";
import { unpack } from "./packed-value.ts";
import { type CurrentPointer, partName } from "./pointer.ts";

export type NamedSnapshot = NonNullable<CurrentPointer["snapshot"]>;

/** A load that takes longer has been dropped with the request that began it. */
const LOAD_MAX_MS = 30_000;
/** KV keeps a miss for as long: to look for a missing part sooner is of no use. */
const RETRY_MS = 30_000;
const POLL_MS = 10;
const FIRST_BYTE_MS = 50;
const ENTRIES_PER_MS = 6_000;

/** About how long it takes to load a snapshot: its parts come at once, at 50 MB a second. */
export function loadMs({ entries }: NamedSnapshot): number {
  return FIRST_BYTE_MS + entries / ENTRIES_PER_MS;
}

/** The snapshot of one isolate: the pool in memory. It holds one at a time: replacing it is dropping it. */
export class Snapshots {
  readonly #store: KeyValueStore;
  #id = "";
  #parts: readonly EntrySet[] | undefined;
  #loadBeganAt = Number.NEGATIVE_INFINITY;
  #failedAt = Number.NEGATIVE_INFINITY;
  #complaint = "";

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  isLoaded(id: string): boolean {
    return this.#id === id && this.#parts !== undefined;
  }

  /** Marks what the snapshot holds, if it is there. */
  mark(id: string, hash: EntryHash, contents: Contents, marks: Uint8Array): void {
    if (!this.isLoaded(id)) return;
    const entries = contents.entries(hash);
    for (const part of this.#parts ?? []) part.mark(entries, marks, HELD);
  }

  /** Loads a snapshot, unless another request is at it. Never throws: one that can't be read is logged once. */
  async load({ id, parts }: NamedSnapshot, log: Log): Promise<void> {
    const now = Date.now();
    if (id === this.#id) {
      if (this.#parts || now - this.#loadBeganAt < LOAD_MAX_MS || now - this.#failedAt < RETRY_MS) return;
    }
    this.#id = id;
    this.#parts = undefined;
    this.#loadBeganAt = now;
    this.#failedAt = Number.NEGATIVE_INFINITY;
    try {
      const loaded = await Promise.all(
        Array.from({ length: parts }, (_, part) => this.#readPart(partName(id, part))),
      );
      // Another snapshot may have been named meanwhile.
      if (this.#id === id) this.#parts = loaded;
      this.#complaint = "";
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#complaint) log.warn("snapshot-unreadable", { cause });
      this.#complaint = cause;
      if (this.#id === id) this.#failedAt = Date.now();
    }
    if (this.#id === id) this.#loadBeganAt = Number.NEGATIVE_INFINITY;
  }

  /** Waits until a load, which may be another request's, has come to an end; at most until `time`. */
  async settled(id: string, time: number): Promise<void> {
    // Another request's promise can't be shared: look until it is over.
    while (this.#id === id && this.#loadBeganAt > Number.NEGATIVE_INFINITY && Date.now() < time) {
      await scheduler.wait(POLL_MS);
    }
  }

  async #readPart(name: string): Promise<EntrySet> {
    const read = this.#store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
    const buffer = await inTime(PATIENCE_MS.snapshotPart, read);
    if (buffer === null) throw new Error(`${name} is missing`);
    return new EntrySet(unpack(buffer, name).held);
  }
}
