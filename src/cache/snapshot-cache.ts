import { SnapshotMemory } from "../bytes/snapshot-memory.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { KV_CACHE_TTL_MAX_SECONDS, KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import { DeadlineExceeded, withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { type Contents, PRESENT } from "./contents.ts";
import type { KeyValueStore } from "./key-value-store.ts";
import { type CurrentManifest, partName } from "./manifest.ts";
import { unpack } from "./packed-value.ts";

export type NamedSnapshot = NonNullable<CurrentManifest["snapshot"]>;

/** The runtime has cancelled a load that takes longer, together with the request that started it. */
const LOAD_MAX_MS = 30_000;
/**
 * Parts never change, so KV may cache them for a day. But it caches misses too: until KV shows a part everywhere, it is read with the
 * shortest time.
 */
const VISIBLE_AFTER_MS = 120_000;
/** KV caches a miss for at least this long, so an earlier retry would find nothing. */
const RETRY_MS = 30_000;
/** Parts in memory, of 8 MB each, in addition to the snapshot. */
const PARTS_AT_ONCE = 2;
const POLL_MS = 10;
const FIRST_BYTE_MS = 50;
/** Two parts at once, 50 MB/s. */
const ENTRIES_PER_MS = 6_000;

/** An estimate of the time to load a snapshot. */
export function loadMs({ entries }: NamedSnapshot): number {
  return FIRST_BYTE_MS + entries / ENTRIES_PER_MS;
}

interface Load {
  readonly id: string;
  state: "running" | "loaded" | "failed" | "late";
  /** When it reached this state, in ms since the epoch. */
  since: number;
}

/** The snapshot in the memory of an isolate. It has room for one: the next one overwrites it. */
export class SnapshotCache {
  readonly #store: KeyValueStore;
  #memory: SnapshotMemory | undefined;
  /** The latest one. An earlier one stops after the part that it is reading. */
  #load: Load | undefined;
  #loggedCause = "";

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  isLoaded(id: string): boolean {
    return this.#load?.id === id && this.#load.state === "loaded";
  }

  /** Marks the contents that the snapshot has, if it is loaded. */
  mark(id: string, secret: string, contents: Contents, marks: Uint8Array): void {
    if (this.isLoaded(id)) this.#memory?.mark(contents.entries(secret), marks, PRESENT);
  }

  /** Loads a snapshot, unless another request is loading it. Never throws: each cause of a failure is logged once. */
  async load(snapshot: NamedSnapshot, log: Log): Promise<void> {
    if (this.#load?.id === snapshot.id && !canRestart(this.#load)) return;
    const load: Load = { id: snapshot.id, state: "running", since: Date.now() };
    this.#load = load;
    try {
      await this.#read(snapshot, load);
      this.#loggedCause = "";
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#loggedCause) log.warn("snapshot-unreadable", { cause });
      this.#loggedCause = cause;
      load.state = error instanceof DeadlineExceeded ? "late" : "failed";
      load.since = Date.now();
    }
  }

  /** Waits until no request is loading this snapshot, at most until `time`. */
  async waitForLoad(id: string, time: number): Promise<void> {
    // A request can't await a promise of another request, so it polls.
    while (this.#load?.id === id && this.#load.state === "running" && Date.now() < time) {
      await scheduler.wait(POLL_MS);
    }
  }

  async #read({ id, entries, parts, completedAt }: NamedSnapshot, load: Load): Promise<void> {
    const isVisible = Date.now() - Date.parse(completedAt) > VISIBLE_AFTER_MS;
    const cacheTtl = isVisible ? KV_CACHE_TTL_MAX_SECONDS : KV_CACHE_TTL_MIN_SECONDS;
    this.#memory ??= new SnapshotMemory();
    this.#memory.begin(entries);
    const reads: Promise<BigUint64Array>[] = [];
    let loaded = 0;
    for (let part = 0; part < parts; part++) {
      while (reads.length < PARTS_AT_ONCE && part + reads.length < parts) {
        const read = this.#readPart(partName(id, part + reads.length), cacheTtl);
        // Its rejection is unhandled if an earlier part fails.
        read.catch(() => {});
        reads.push(read);
      }
      const words = await (reads.shift() as Promise<BigUint64Array>);
      // Another load uses the memory now.
      if (load !== this.#load) return;
      if (loaded + words.length > entries) break;
      this.#memory.put(words, loaded);
      loaded += words.length;
    }
    if (loaded !== entries) {
      throw new Error(`the parts of ${id} do not have ${entries} entries, but ${loaded} or more`);
    }
    this.#memory.finish();
    load.state = "loaded";
  }

  async #readPart(name: string, cacheTtl: number): Promise<BigUint64Array> {
    const read = this.#store.getBytes(name, cacheTtl);
    const buffer = await withTimeout(TIMEOUT_MS.snapshotPart, read);
    if (buffer === null) throw new Error(`${name} is missing`);
    return unpack(buffer, name).added;
  }
}

function canRestart({ state, since }: Load): boolean {
  const ageMs = Date.now() - since;
  if (state === "running") return ageMs >= LOAD_MAX_MS;
  // A timeout that a frozen isolate caused may be retried immediately.
  return state === "late" || (state === "failed" && ageMs >= RETRY_MS);
}
