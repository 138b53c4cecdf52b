import { SnapshotMemory } from "../bytes/snapshot-memory.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import { DeadlineExceeded, withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { type Contents, PRESENT } from "./contents.ts";
import type { KeyValueStore } from "./key-value-store.ts";
import { type CurrentManifest, partName } from "./manifest.ts";
import { unpack } from "./packed-value.ts";

export type NamedSnapshot = NonNullable<CurrentManifest["snapshot"]>;

/** A load that takes longer has been dropped with the request that began it. */
const LOAD_MAX_MS = 30_000;
/** KV keeps a miss for as long: to look for a missing part sooner is of no use. */
const RETRY_MS = 30_000;
/** Parts that are added beside the memory that they go to: 16 MB. */
const PARTS_AT_ONCE = 2;
const POLL_MS = 10;
const FIRST_BYTE_MS = 50;
const ENTRIES_PER_MS = 6_000;

/** About how long it takes to load a snapshot: its parts come two at once, at 50 MB a second. */
export function loadMs({ entries }: NamedSnapshot): number {
  return FIRST_BYTE_MS + entries / ENTRIES_PER_MS;
}

/** The snapshot of one isolate: the pool in memory. It holds one at a time: the next is written over it. */
export class SnapshotCache {
  readonly #store: KeyValueStore;
  #memory: SnapshotMemory | undefined;
  #id = "";
  #isLoaded = false;
  #loadBeganAt = Number.NEGATIVE_INFINITY;
  #failedAt = Number.NEGATIVE_INFINITY;
  #loggedCause = "";
  /** Counts loads: one that another has followed writes nothing more. */
  #loads = 0;

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  isLoaded(id: string): boolean {
    return this.#id === id && this.#isLoaded;
  }

  /** Marks what the snapshot holds, if it is there. */
  mark(id: string, secret: string, contents: Contents, marks: Uint8Array): void {
    if (this.isLoaded(id)) this.#memory?.mark(contents.entries(secret), marks, PRESENT);
  }

  /** Loads a snapshot, unless another request is at it. Never throws: one that can't be read is logged once. */
  async load(snapshot: NamedSnapshot, log: Log): Promise<void> {
    const now = Date.now();
    if (snapshot.id === this.#id) {
      const isRunning = now - this.#loadBeganAt < LOAD_MAX_MS;
      if (this.#isLoaded || isRunning || now - this.#failedAt < RETRY_MS) return;
    }
    this.#id = snapshot.id;
    this.#isLoaded = false;
    this.#loadBeganAt = now;
    this.#failedAt = Number.NEGATIVE_INFINITY;
    this.#loads += 1;
    const load = this.#loads;
    try {
      await this.#read(snapshot, load);
      this.#loggedCause = "";
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#loggedCause) log.warn("snapshot-unreadable", { cause });
      this.#loggedCause = cause;
      // What came too late, since the isolate was frozen, can be had at once.
      const isLate = error instanceof DeadlineExceeded;
      if (load === this.#loads && !isLate) this.#failedAt = Date.now();
    }
    if (load === this.#loads) this.#loadBeganAt = Number.NEGATIVE_INFINITY;
  }

  /** Waits until a load, which may be another request's, has come to an end; at most until `time`. */
  async settled(id: string, time: number): Promise<void> {
    // Another request's promise can't be shared: look until it is over.
    while (this.#id === id && this.#loadBeganAt > Number.NEGATIVE_INFINITY && Date.now() < time) {
      await scheduler.wait(POLL_MS);
    }
  }

  async #read({ id, entries, parts }: NamedSnapshot, load: number): Promise<void> {
    this.#memory ??= new SnapshotMemory();
    this.#memory.begin(entries);
    const coming: Promise<BigUint64Array>[] = [];
    let place = 0;
    for (let part = 0; part < parts; part++) {
      while (coming.length < PARTS_AT_ONCE && part + coming.length < parts) {
        const read = this.#readPart(partName(id, part + coming.length));
        // One that is not waited for any more may fail.
        read.catch(() => {});
        coming.push(read);
      }
      const words = await (coming.shift() as Promise<BigUint64Array>);
      // Another snapshot may have been named meanwhile, or this one have been begun anew.
      if (load !== this.#loads) return;
      if (place + words.length > entries) break;
      this.#memory.put(words, place);
      place += words.length;
    }
    if (place !== entries)
      throw new Error(`the parts of ${id} hold ${place} entries or more, not ${entries}`);
    this.#memory.finish();
    this.#isLoaded = true;
  }

  async #readPart(name: string): Promise<BigUint64Array> {
    const read = this.#store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
    const buffer = await withTimeout(TIMEOUT_MS.snapshotPart, read);
    if (buffer === null) throw new Error(`${name} is missing`);
    return unpack(buffer, name).added;
  }
}
