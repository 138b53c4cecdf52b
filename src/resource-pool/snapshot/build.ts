import { mergeEntries } from "./merge.ts";
import { PartWriter } from "./part-writer.ts";
import { Removals } from "./removals.ts";
import { KeySource, storedSource } from "./sources.ts";
import {
  type Building,
  cleanUp,
  isTrustworthy,
  newSnapshotId,
  type Pointer,
  readAdditions,
  readBuilding,
  readPointer,
  type SnapshotStore,
  snapshotNames,
} from "./store.ts";

export interface BuildOptions {
  keyPrefix: string;
  /** ms since the epoch. */
  now: number;
  /**
   * Listings of keys, 1,000 in each, that one invocation may spend: the next one goes on from there. Infinity for a
   * builder that does all at once; 0 leaves the keys for another build.
   */
  listings: number;
}

export type BuildOutcome =
  /** The pointer has moved. */
  | { outcome: "built"; id: string; entries: number; parts: number; leftOut: number }
  /** The keys that could be listed are merged; the next invocation goes on. */
  | { outcome: "continues"; id: string; entries: number }
  /** The snapshot would hold what the current one holds. */
  | { outcome: "unchanged"; entries: number }
  /** Another builder has moved the pointer meanwhile: the next build begins there. */
  | { outcome: "superseded" };

/**
 * Builds the next snapshot: the current one, the additions and the keys, without what has a tombstone. The pointer
 * moves last: whatever ends a build before that leaves the current snapshot as it is.
 *
 * Builders know nothing of each other, and KV has no way to compare and swap: the pointer of one may replace that of
 * another that was built at the same time. Nothing is lost by it, since keys and additions outlive a build.
 */
export async function buildSnapshot(
  store: SnapshotStore,
  { keyPrefix, now, listings }: BuildOptions,
): Promise<BuildOutcome> {
  const names = snapshotNames(keyPrefix);
  // Before the pointer: an addition that is gone by now is held by the snapshot that is read next.
  const announced = await readAdditions(store, keyPrefix);
  const current = await readPointer(store, names.current);
  const base = current && isTrustworthy(current, now) ? current : undefined;
  const goesOn = listings > 0 && listings < Number.POSITIVE_INFINITY;
  const unfinished = goesOn ? await readBuilding(store, keyPrefix, base, now) : undefined;
  const building = unfinished ?? begin(base, announced, now);
  const kept = await cleanUp(store, keyPrefix, { base, announced, building, now });

  const writer = new PartWriter(store, keyPrefix, building.id, building.progress);
  const keys = new KeySource(store, keyPrefix, building.cursor, listings);
  const additions = announced.filter(({ id }) => building.additions.includes(id));
  const isComplete = await mergeEntries(
    [
      ...(base ? [storedSource("base", store, keyPrefix, base, building.after)] : []),
      ...additions.map((addition) => storedSource("addition", store, keyPrefix, addition, building.after)),
      ...(listings > 0 ? [keys] : []),
    ],
    new Removals(store, keyPrefix),
    writer,
  );
  await writer.flush();

  const { id } = building;
  const { entries, parts, newEntries, leftOut } = writer.progress;
  if (!isComplete) {
    const { cursor } = keys;
    const after = writer.position ?? building.after;
    await store.put(
      names.building,
      JSON.stringify({ ...building, cursor, after, progress: writer.progress }),
    );
    return { outcome: "continues", id, entries };
  }
  if (goesOn) await store.delete([names.building]);
  const checkedAt = new Date(now).toISOString();
  const isUnchanged = base && newEntries === 0 && entries === base.entries && building.additions.length === 0;
  const isSuperseded = (await readPointer(store, names.current))?.id !== current?.id;
  if (isUnchanged || isSuperseded) {
    await store.delete(Array.from({ length: parts }, (_, number) => names.part(id, number)));
    if (isSuperseded) return { outcome: "superseded" };
    await store.put(names.current, JSON.stringify({ ...base, checkedAt }));
    return { outcome: "unchanged", entries };
  }
  const merged = [...kept.filter((addition) => base?.merged.includes(addition)), ...building.additions];
  const pointer: Pointer = { id, entries, builtAt: checkedAt, checkedAt, parts, merged };
  await store.put(names.current, JSON.stringify(pointer));
  return { outcome: "built", id, entries, parts, leftOut };
}

function begin(base: Pointer | undefined, announced: readonly Pointer[], now: number): Building {
  const additions = announced.map(({ id }) => id).filter((id) => !base?.merged.includes(id));
  return { id: newSnapshotId(now), baseId: base?.id ?? "", additions };
}
