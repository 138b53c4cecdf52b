import * as v from "valibot";
import { causeOf, type Log } from "../../log.ts";
import { KV_KEYS_PER_READ } from "../../platform-limits.ts";
import type { RequestContext } from "../../request-context.ts";
import { ENTRY_BYTES, openPart } from "./format.ts";
import { Snapshot } from "./snapshot.ts";
import { isTrustworthy, type Pointer, PointerSchema, snapshotNames } from "./store.ts";

/** One small read a minute and isolate tells whether there is a newer snapshot. */
const CHECK_MS = 60_000;
/** Half of an isolate: an older and a newer snapshot that are larger are not held at once. */
const HELD_AT_ONCE_MAX_BYTES = 64 * 1024 * 1024;
/** An isolate that was idle for longer knows no better than a fresh one what has been removed meanwhile. */
const IDLE_MAX_MS = 300_000;
/** While KV can't be read: for how long a snapshot is used that nobody confirms. */
const UNCONFIRMED_MAX_MS = 3_600_000;

/** The runtime lets six reads wait for KV at a time, and a read takes about this long. */
const READS_AT_A_TIME = 6;
const READ_MS = 50;

interface HolderOptions {
  keyPrefix: string;
  /** Seconds that KV may answer from its cache. A part's too: a part that is not there yet is cached as missing. */
  cacheTtl: number;
}

/** The snapshot of one isolate, kept up to date while requests are answered from the one before. */
export class SnapshotHolder {
  readonly #cache: KVNamespace;
  readonly #options: HolderOptions;
  #current: Snapshot | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #complaint = "";

  constructor(cache: KVNamespace, options: HolderOptions) {
    this.#cache = cache;
    this.#options = options;
  }

  /**
   * The snapshot to answer a request with, if there is one.
   *
   * A request waits only where the isolate is fresh, or was idle, and then no longer than its keys would take to
   * read: a large one saves thousands of key reads for about the same time, a small one goes on at once, while the
   * snapshot is loaded for the next.
   *
   * @param resources how many the request asks about
   * @param patienceMs to wait at most, in any case
   */
  async forRequest(
    resources: number,
    patienceMs: number,
    { log, waitUntil }: Pick<RequestContext, "log" | "waitUntil">,
  ): Promise<Snapshot | undefined> {
    const now = Date.now();
    if (now - this.#confirmedAt > UNCONFIRMED_MAX_MS) this.#current = undefined;
    if (now - this.#checkedAt < CHECK_MS) return this.#current;

    const isFresh = now - this.#checkedAt > IDLE_MAX_MS;
    this.#checkedAt = now;
    const loading = this.#load(log);
    waitUntil(loading);
    if (isFresh) await Promise.race([loading, scheduler.wait(Math.min(keyReadsMs(resources), patienceMs))]);
    return this.#current;
  }

  /** Never throws: a snapshot that can't be read is as if there were none. */
  async #load(log: Log): Promise<void> {
    try {
      const pointer = await this.#readPointer();
      if (!pointer || !isTrustworthy(pointer, Date.now())) {
        this.#current = undefined;
        return;
      }
      if (pointer.id !== this.#current?.id) await this.#replace(pointer);
      this.#confirmedAt = Date.now();
      this.#complaint = "";
    } catch (error) {
      const cause = causeOf(error);
      if (cause !== this.#complaint) log.warn("snapshot-unreadable", { cause, using: this.#current?.id });
      this.#complaint = cause;
    }
  }

  async #readPointer(): Promise<Pointer | undefined> {
    const { keyPrefix, cacheTtl } = this.#options;
    const pointer = await this.#cache.get(snapshotNames(keyPrefix).current, { type: "json", cacheTtl });
    return pointer === null ? undefined : v.parse(PointerSchema, pointer);
  }

  async #replace({ id, entries, parts }: Pointer): Promise<void> {
    const bytes = ((this.#current?.entries ?? 0) + entries) * ENTRY_BYTES;
    if (bytes > HELD_AT_ONCE_MAX_BYTES) this.#current = undefined;
    const { keyPrefix, cacheTtl } = this.#options;
    const opened = await Promise.all(
      Array.from({ length: parts }, async (_, number) => {
        const buffer = await this.#cache.get(snapshotNames(keyPrefix).part(id, number), {
          type: "arrayBuffer",
          cacheTtl,
        });
        if (buffer === null) throw new Error(`part ${number} of ${id} is missing`);
        return openPart(buffer, id, number);
      }),
    );
    this.#current = new Snapshot(id, opened);
  }
}

/** About how long it takes to look up each resource by its key, in milliseconds. */
function keyReadsMs(resources: number): number {
  return Math.ceil(Math.ceil(resources / KV_KEYS_PER_READ) / READS_AT_A_TIME) * READ_MS;
}
