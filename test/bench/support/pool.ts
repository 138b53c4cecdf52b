import { EdgeCache } from "../../../src/cache/edge-cache.ts";
import type { KeyValueStore } from "../../../src/cache/key-value-store.ts";
import { type CurrentManifest, MANIFEST_NAME, partName } from "../../../src/cache/manifest.ts";
import { pack } from "../../../src/cache/packed-value.ts";
import { EntryList } from "../../../src/catalog/entry-list.ts";
import { sha1Bytes } from "../../../src/resources/sha1.ts";
import { minimalManifest } from "../../support/manifest.ts";
import { sha1At, sizeAt } from "./resources.ts";

const ENTRIES_PER_PART = 1_000_000;
const ID = "bench";
const CACHE_TTL_SECONDS = 60;

/** A stored snapshot. */
export interface StoredSnapshot {
  manifest: CurrentManifest;
  parts: ArrayBuffer[];
}

/** Packs the first files of the pool as the catalog does. */
export function packFiles(entries: number): StoredSnapshot {
  const manifest = minimalManifest();
  const list = new EntryList(manifest.secret, entries);
  for (let index = 0; index < entries; index++) list.add([sha1Bytes(sha1At(index)).buffer, sizeAt(index)]);
  const sorted = list.sorted();
  const removed = new BigUint64Array();
  const parts = Array.from({ length: Math.ceil(entries / ENTRIES_PER_PART) }, (_, part) => {
    const present = sorted.subarray(part * ENTRIES_PER_PART, (part + 1) * ENTRIES_PER_PART);
    return pack(partName(ID, part), { added: present, removed }).buffer;
  });
  const { publishedAt } = manifest;
  const times = { builtAt: publishedAt, completedAt: publishedAt };
  const snapshot = { id: ID, entries, parts: parts.length, ...times };
  return { manifest: { ...manifest, snapshot }, parts };
}

/** A KV in memory with a snapshot and without keys. It takes no time, so that only the project's code is measured. */
function memoryStore({ manifest, parts }: StoredSnapshot): KeyValueStore {
  const rejectWrite = () => Promise.reject(new Error("this KV is read-only"));
  return {
    getText: async (name) => (name === MANIFEST_NAME ? JSON.stringify(manifest) : null),
    getBytes: async (name) => parts[Number(name.split("/").at(-1))] ?? null,
    getTexts: async () => new Map(),
    put: rejectWrite,
    delete: rejectWrite,
  };
}

// Node.js has no `scheduler`. The store takes no time, so waiting takes none either.
globalThis.scheduler ??= { wait: () => new Promise((resolve) => setImmediate(resolve)) };

/** Creates the cache of a new isolate with a snapshot in KV. */
export function openCache(stored: StoredSnapshot): EdgeCache {
  return new EdgeCache(memoryStore(stored), CACHE_TTL_SECONDS);
}

export const MILLION = 1_000_000;
let million: StoredSnapshot | undefined;

/** Returns the snapshot of a million files. It is packed once for all sections. */
export function packMillionFiles(): StoredSnapshot {
  million ??= packFiles(MILLION);
  return million;
}
