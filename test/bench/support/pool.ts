import { Addition } from "../../../src/resource-pool/snapshot/addition.ts";
import { type Entries, openPart } from "../../../src/resource-pool/snapshot/format.ts";
import { Snapshot } from "../../../src/resource-pool/snapshot/snapshot.ts";
import type { Pointer, SnapshotStore } from "../../../src/resource-pool/snapshot/store.ts";
import { snapshotNames } from "../../../src/resource-pool/snapshot/store.ts";
import { sha1At, sizeAt } from "./resources.ts";

/** KV in memory: it takes no time, so that what is measured is the project's own. */
export class MemoryStore implements SnapshotStore {
  readonly values = new Map<string, ArrayBuffer>();
  /** Keys of the pool, sorted, which are only listed. */
  readonly #poolKeys: readonly string[];

  constructor(poolKeys: readonly string[] = []) {
    this.#poolKeys = poolKeys;
  }

  async get(name: string): Promise<ArrayBuffer | null> {
    return this.values.get(name) ?? null;
  }

  async put(name: string, value: Uint8Array | string): Promise<void> {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    this.values.set(name, bytes.slice().buffer);
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) this.values.delete(name);
  }

  async list(prefix: string, cursor = "0"): Promise<{ names: string[]; cursor?: string | undefined }> {
    if (prefix !== "")
      return { names: [...this.values.keys()].filter((name) => name.startsWith(prefix)).sort() };
    const end = Number(cursor) + 1000;
    const names = this.#poolKeys.slice(Number(cursor), end);
    return end < this.#poolKeys.length ? { names, cursor: String(end) } : { names };
  }
}

/** A stored snapshot. */
export interface StoredSnapshot {
  pointer: Pointer;
  parts: ArrayBuffer[];
}

/** The checksums of the pool's first `entries` files. */
export function poolSha1s(entries: number): string[] {
  return Array.from({ length: entries }, (_, index) => sha1At(index));
}

/** Packs the pool's first files, as the operator's command does. */
export async function pack(sha1s: readonly string[]): Promise<StoredSnapshot> {
  const addition = new Addition();
  for (const [index, sha1] of sha1s.entries()) addition.add(sha1, sizeAt(index));
  const store = new MemoryStore();
  const pointer = await addition.write(store, "", Date.now());
  return { pointer, parts: storedParts(store, pointer) };
}

export function storedParts(store: MemoryStore, { id, parts }: Pick<Pointer, "id" | "parts">): ArrayBuffer[] {
  return Array.from({ length: parts }, (_, number) => {
    const part = store.values.get(snapshotNames("").part(id, number));
    if (!part) throw new Error(`part ${number} of ${id} is missing`);
    return part;
  });
}

export function open({ pointer: { id }, parts }: StoredSnapshot): Snapshot {
  return new Snapshot(
    id,
    parts.map((part, number): Entries => openPart(part, id, number)),
  );
}

export const MILLION = 1_000_000;
let million: Promise<StoredSnapshot> | undefined;

/** The snapshot of a million files, packed once for all sections. */
export function millionFiles(): Promise<StoredSnapshot> {
  million ??= pack(poolSha1s(MILLION));
  return million;
}
