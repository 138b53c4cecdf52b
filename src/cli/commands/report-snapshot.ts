import { parseCacheKey, type ResourceKey } from "../../resource-pool/resource-key.ts";
import { Addition } from "../../resource-pool/snapshot/addition.ts";
import { TOMBSTONE_PREFIX } from "../../resource-pool/tombstone.ts";
import { Exit } from "../exit.ts";
import { untilAborted } from "../interrupt.ts";
import { counted, note, number, print, printJson } from "../output.ts";
import { type Added, addKeys } from "../pool/add-keys.ts";
import { build, complaintOf } from "../pool/build.ts";
import type { Pool } from "../pool/pool.ts";
import { snapshotStore } from "../pool/snapshot-store.ts";
import { Progress } from "../progress.ts";
import type { LeftOutOf, WriteOptions } from "./report-added.ts";

/**
 * Puts resources into the snapshot, in a handful of writes and all at once at the end, and tells on stdout what
 * became of them. What a snapshot can't hold becomes keys.
 *
 * @throws Exit if something was left out, or on Ctrl-C, before which nothing has been written
 */
export async function addToSnapshotAndReport(
  pool: Pool,
  keys: AsyncIterable<ResourceKey>,
  { dryRun = false, json = false }: WriteOptions,
  signal: AbortSignal,
  leftOut: LeftOutOf,
): Promise<void> {
  const store = snapshotStore(pool);
  // A build leaves out what has a tombstone, unless there is a key: then the file has come back.
  const removed = await removedSha1s(pool);
  const addition = new Addition();
  const asKeys: ResourceKey[] = [];
  const progress = new Progress();
  for await (const key of untilAborted(keys, signal)) {
    const { sha1, size } = parseCacheKey(key, "") ?? { sha1: "", size: 0 };
    if (removed.has(sha1) || !addition.add(sha1, size)) asKeys.push(key);
    progress.update(() => `${counted(addition.size, "resource")} read`);
  }
  progress.clear();
  if (signal.aborted) {
    note("Interrupted: nothing has been written.");
    throw new Exit("interrupted");
  }

  const landed: Added = { added: 0, alreadyThere: 0 };
  if (asKeys.length > 0) await addKeys(pool, fromArray(asKeys), landed, { dryRun, signal });
  const { counts, isIncomplete } = leftOut();
  const told = { added: addition.size, asKeys: asKeys.length, ...counts, dryRun };
  if (dryRun || addition.size === 0) {
    if (json) await printJson(told);
    else await print(`${counted(addition.size, "resource")} would be added to the snapshot`);
  } else {
    await addition.write(store, pool.keyPrefix, Date.now());
    const built = await build(pool, 0);
    const complaint = complaintOf(built);
    if (json) await printJson({ ...told, snapshot: built.entries });
    else
      await print(
        `${counted(addition.size, "resource")} added to the snapshot, which holds ${number(built.entries)}`,
      );
    if (complaint) note(complaint);
    if (complaint) throw new Exit("done-in-part");
  }
  if (isIncomplete) throw new Exit(addition.size > 0 ? "done-in-part" : "failed");
}

async function removedSha1s({ keyPrefix, list }: Pool): Promise<Set<string>> {
  const prefix = keyPrefix + TOMBSTONE_PREFIX;
  const removed = new Set<string>();
  for await (const names of list(prefix)) for (const name of names) removed.add(name.slice(prefix.length));
  return removed;
}

async function* fromArray<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
