import { formatCount, formatNumber } from "../../format.ts";
import type { CacheClient } from "../api/cache-client.ts";
import { keysOf, type Pool } from "../blobstore/blobstore.ts";
import type { NotAdded } from "../blobstore/stored-object.ts";
import { Exit } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { withProgress } from "../terminal/progress.ts";
import type { Addition, AddOptions } from "./add-resources.ts";

/** More needs --yes: probably the bucket is wrong. */
const REMOVED_PART_MAX = 0.1;

/**
 * Reads the blobstore and the cache, and compares them.
 *
 * @param notAdded counts of the blobstore, complete once it is read
 * @returns the resources to add and to remove, so that the cache equals the blobstore
 * @throws Exit if the blobstore could not be read completely, or if too many resources would be removed
 */
export async function comparePools(
  client: CacheClient,
  readPool: (signal: AbortSignal) => Promise<Pool>,
  notAdded: Readonly<NotAdded>,
  { yes = false, dryRun = false }: AddOptions & { yes?: boolean },
  signal: AbortSignal,
): Promise<Addition> {
  const { entries: total } = await client.status();
  const pool = await readPool(signal);
  if (notAdded.unreadable > 0) {
    const parts = formatCount(notAdded.unreadable, "part");
    throw new Exit(
      "failed",
      `Refused: can't read ${parts} of the blobstore. Nothing was sent to the Worker.`,
    );
  }
  const { entries, missing } = await findMissing(client, pool, total, signal);
  if (missing.length > REMOVED_PART_MAX * entries && !yes) {
    if (dryRun) note("This is more than a tenth of the cache. It would be refused without --yes.");
    else {
      throw new Exit(
        "failed",
        `Refused: ${formatNumber(missing.length)} of the ${formatCount(entries, "resource")} in the cache are not in ` +
          "the blobstore: more than a tenth. Nothing was sent to the Worker. If this is the right blobstore, add --yes " +
          "to remove them.",
      );
    }
  }
  return { keys: keysOf(pool), notAdded, totalOf: () => pool.size, toRemove: missing };
}

/** Counts the resources in the cache, and finds the SHA-1s of those that are not in the pool. */
async function findMissing(client: CacheClient, pool: Pool, total: number, signal: AbortSignal) {
  const missing: string[] = [];
  let entries = 0;
  const state = () => ({ text: `${formatCount(entries, "resource")} compared`, done: entries, total });
  for await (const page of withProgress(client.resources(), state)) {
    if (signal.aborted) throw new Exit("interrupted", "Nothing was sent to the Worker.");
    entries += page.length;
    for (const { checksum } of page) if (!pool.has(checksum.value)) missing.push(checksum.value);
  }
  return { entries, missing };
}
