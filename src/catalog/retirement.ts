import type { KeyValueStore } from "../cache/key-value-store.ts";
import { MANIFEST_NAME, type Manifest } from "../cache/manifest.ts";
import { LATE_WRITE_MS } from "../time/time-guarantees.ts";
import type { CatalogState } from "./catalog-state.ts";
import type { PublishedObjects } from "./published-objects.ts";

/**
 * Says at the manifest of each KEY_PREFIX that was given up that nothing under it counts, so that it may be taken up
 * again without what has gone from the pool since. Twice, since an earlier write of that manifest may arrive late.
 */
export async function retire(
  memory: CatalogState,
  values: PublishedObjects,
  storeOf: (prefix: string) => KeyValueStore,
  now: number,
): Promise<void> {
  for (const { prefix, writtenAt } of memory.get("retired")) {
    if (writtenAt !== null && now < writtenAt + LATE_WRITE_MS) continue;
    const manifest: Manifest = { version: 2, state: "retired", publishedAt: new Date(now).toISOString() };
    await storeOf(prefix).put(MANIFEST_NAME, JSON.stringify(manifest));
    values.supersede(prefix, [], now);
    const others = memory.get("retired").filter((one) => one.prefix !== prefix);
    memory.set({ retired: writtenAt === null ? [...others, { prefix, writtenAt: now }] : others });
  }
}

/** When a manifest is to be written, in ms since the epoch. */
export function retireAt(memory: CatalogState): number {
  const times = memory
    .get("retired")
    .map(({ writtenAt }) => (writtenAt === null ? 0 : writtenAt + LATE_WRITE_MS));
  return Math.min(...times, Number.POSITIVE_INFINITY);
}
