import { createExecutionContext, createScheduledController, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import worker from "../../src/index.ts";
import type { Pointer, SnapshotStore } from "../../src/resource-pool/snapshot/store.ts";

/** Runs the Worker's scheduled handler, as the cron trigger does. */
export async function buildNow(bindings: object = env, scheduledTime = Date.now()): Promise<void> {
  const ctx = createExecutionContext();
  await worker.scheduled(
    createScheduledController({ scheduledTime: new Date(scheduledTime), cron: "0 * * * *" }),
    bindings,
  );
  await waitOnExecutionContext(ctx);
}

export const currentPointer = () => env.RESOURCE_CACHE.get<Pointer>("snapshot/current", "json");

/** A SHA-1 for each index: spread evenly, and the same in each run. */
export function sha1At(index: number): string {
  let state = (index * 2654435761 + 97) >>> 0;
  let sha1 = "";
  while (sha1.length < 40) {
    state = Math.imul(state ^ (state >>> 15), 2246822519) >>> 0;
    state = Math.imul(state ^ (state >>> 13), 3266489917) >>> 0;
    state = (state ^ (state >>> 16)) >>> 0;
    sha1 += state.toString(16).padStart(8, "0");
    state = (state + 0x9e3779b9) >>> 0;
  }
  return sha1;
}

/** KV in memory, for more keys than the local one writes in a test's time; it pages as KV does. */
export class MemoryStore implements SnapshotStore {
  readonly values = new Map<string, Uint8Array>();
  /** Sorted names that are only listed. */
  names: string[] = [];
  listings = 0;

  async get(name: string): Promise<ArrayBuffer | null> {
    return this.values.get(name)?.slice().buffer ?? null;
  }

  async put(name: string, value: Uint8Array | string): Promise<void> {
    this.values.set(name, typeof value === "string" ? new TextEncoder().encode(value) : value.slice());
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) this.values.delete(name);
  }

  async list(prefix: string, cursor = "0"): Promise<{ names: string[]; cursor?: string | undefined }> {
    const own = [...this.values.keys()].filter((name) => name.startsWith(prefix)).sort();
    if (prefix !== "") return { names: own };
    this.listings += 1;
    const from = Number(cursor);
    const page = this.names.slice(from, from + 1000);
    return from + 1000 < this.names.length
      ? { names: page, cursor: String(from + 1000) }
      : { names: [...page, ...own] };
  }
}
