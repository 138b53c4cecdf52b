import * as v from "valibot";
import { TOMBSTONE_TTL_SECONDS } from "../tombstone.ts";
import { ID_MAX_CHARACTERS } from "./format.ts";

/**
 * Where a snapshot is built: Workers KV, by a binding or by its API, or the local one. Names are whole keys.
 */
export interface SnapshotStore {
  get(name: string): Promise<ArrayBuffer | null>;
  put(name: string, value: Uint8Array | string): Promise<void>;
  delete(names: readonly string[]): Promise<void>;
  /** A page of names in their order, and the cursor of the next page, if there is one. */
  list(prefix: string, cursor?: string): Promise<{ names: string[]; cursor?: string | undefined }>;
}

/** A KV value takes 25 MiB; with parts of 6 MB a merge holds little of the pool at a time. */
export const PART_ENTRIES_MAX = 500_000;

/** 48 MB of an isolate's 128; what is beyond is answered by keys. */
export const SNAPSHOT_ENTRIES_MAX = 4_000_000;

/**
 * Tombstones expire after 7 days: a snapshot that no build has checked for so long may hold, for ever, what was
 * removed meanwhile. It counts no more, neither for answers nor for builds.
 */
const UNCHECKED_MAX_MS = (TOMBSTONE_TTL_SECONDS - 24 * 60 * 60) * 1000;

/**
 * An addition stays until a snapshot with it has stood this long: longer than a build may take and KV takes to
 * spread a pointer, so that any build that began before knows of the addition.
 */
const ADDITION_GRACE_MS = 60 * 60 * 1000;
/** An isolate that has just read an older pointer is loading the parts that it names. */
const SUPERSEDED_GRACE_MS = 10 * 60 * 1000;
/** A build that has not been finished by then has been given up, and so have the parts that it has written. */
const BUILDING_MAX_MS = 6 * 60 * 60 * 1000;

const Id = v.pipe(v.string(), v.regex(/^[\w-]+$/), v.maxLength(ID_MAX_CHARACTERS));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** The value of `snapshot/current`: which snapshot counts. It is written last, when all parts are there. */
export const PointerSchema = v.object({
  id: Id,
  entries: v.pipe(Count, v.maxValue(SNAPSHOT_ENTRIES_MAX)),
  /** ISO 8601. */
  builtAt: v.pipe(v.string(), v.isoTimestamp()),
  /** ISO 8601: when a build last found that it holds what the pool does, or was finished itself. */
  checkedAt: v.pipe(v.string(), v.isoTimestamp()),
  parts: v.pipe(Count, v.maxValue(1_000)),
  /** The additions that it holds. */
  merged: v.optional(v.array(Id), []),
});
export type Pointer = v.InferOutput<typeof PointerSchema>;

/** The value of `snapshot/building`: a build that was not finished, for the next invocation to go on with. */
const BuildingSchema = v.object({
  id: Id,
  /** The snapshot that it follows; empty where it is the first. */
  baseId: v.string(),
  additions: v.array(Id),
  /** Where the listing of the keys goes on. */
  cursor: v.optional(v.string()),
  /** All entries up to this one are merged. */
  after: v.optional(v.strictTuple([Count, Count, Count])),
  progress: v.optional(v.object({ parts: Count, entries: Count, newEntries: Count, leftOut: Count })),
});
export type Building = v.InferOutput<typeof BuildingSchema>;

/** Key names, each below `<KEY_PREFIX>snapshot/`. */
export function snapshotNames(keyPrefix: string) {
  const folder = `${keyPrefix}snapshot/`;
  return {
    folder,
    /** A pointer. */
    current: `${folder}current`,
    /** The state of a build that goes on in the next invocation. */
    building: `${folder}building`,
    /** A pointer for each addition: entries that are no keys, until a snapshot that has stood for a while holds them. */
    additions: `${folder}addition/`,
    addition: (id: string) => `${folder}addition/${id}`,
    /** Parts of snapshots and of additions. */
    part: (id: string, number: number) => `${folder}part/${id}/${number}`,
    parts: `${folder}part/`,
  };
}

/** An id that sorts and ages by the time at which it was made. */
export function newSnapshotId(now: number): string {
  return `${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}

/** When an id was made, in ms since the epoch. */
export function timeOfId(id: string): number {
  return Number.parseInt(id.split("-")[0] ?? "", 36);
}

/**
 * @returns undefined where there is none
 * @throws for a pointer that is not understood: whoever wrote it knows more, and nothing may be built over it
 */
export async function readPointer(store: SnapshotStore, name: string): Promise<Pointer | undefined> {
  const json = await readText(store, name);
  if (json === undefined) return undefined;
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), PointerSchema), json);
  if (!result.success) throw new Error(`${name} is not understood: ${result.issues[0].message}`);
  return result.output;
}

/** Whether a snapshot may be relied on: see `UNCHECKED_MAX_MS`. */
export function isTrustworthy({ checkedAt }: Pointer, now: number): boolean {
  return now - Date.parse(checkedAt) < UNCHECKED_MAX_MS;
}

/** The additions that are announced, the oldest first. */
export async function readAdditions(store: SnapshotStore, keyPrefix: string): Promise<Pointer[]> {
  const names = await listAll(store, snapshotNames(keyPrefix).additions);
  const pointers = await Promise.all(names.map((name) => readPointer(store, name)));
  return pointers.filter((pointer) => pointer !== undefined);
}

/** A build that the next invocation is to go on with: of the same snapshot, and not given up. */
export async function readBuilding(
  store: SnapshotStore,
  keyPrefix: string,
  base: Pointer | undefined,
  now: number,
): Promise<Building | undefined> {
  const json = await readText(store, snapshotNames(keyPrefix).building);
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), BuildingSchema), json);
  if (!result.success) return undefined;
  const { baseId, id } = result.output;
  return baseId === (base?.id ?? "") && now - timeOfId(id) < BUILDING_MAX_MS ? result.output : undefined;
}

interface InUse {
  base: Pointer | undefined;
  announced: readonly Pointer[];
  building: Building;
  now: number;
}

/**
 * Deletes additions that the current snapshot has held for long enough, and parts that nothing names any more.
 *
 * @returns the ids of the additions that stay
 */
export async function cleanUp(
  store: SnapshotStore,
  keyPrefix: string,
  { base, announced, building, now }: InUse,
): Promise<string[]> {
  const names = snapshotNames(keyPrefix);
  const standsFor = base ? now - Date.parse(base.builtAt) : 0;
  const isHeld = ({ id }: Pointer) => standsFor > ADDITION_GRACE_MS && base?.merged.includes(id);
  const [held, kept] = [announced.filter(isHeld), announced.filter((addition) => !isHeld(addition))];
  const ids = kept.map(({ id }) => id);

  const used = new Set([base?.id, building.id, ...ids]);
  const isForgotten = (name: string) => {
    const [id = ""] = name.slice(names.parts.length).split("/");
    return !used.has(id) && standsFor > SUPERSEDED_GRACE_MS && now - timeOfId(id) > BUILDING_MAX_MS;
  };
  const forgotten = (await listAll(store, names.parts)).filter(isForgotten);
  await store.delete([...held.map(({ id }) => names.addition(id)), ...forgotten]);
  return ids;
}

async function readText(store: SnapshotStore, name: string): Promise<string | undefined> {
  const value = await store.get(name);
  return value === null ? undefined : new TextDecoder().decode(value);
}

async function listAll(store: SnapshotStore, prefix: string): Promise<string[]> {
  const all: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list(prefix, cursor);
    all.push(...page.names);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}
