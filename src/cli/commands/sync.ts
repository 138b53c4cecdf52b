import { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheClient } from "../api/cache-client.ts";
import { keysOf, openBlobstore, type Pool, readPool } from "../blobstore/blobstore.ts";
import type { NotAdded } from "../blobstore/stored-object.ts";
import { Exit } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { withProgress } from "../terminal/progress.ts";
import { type Addition, type AddOptions, addResources } from "./add-resources.ts";

/** More needs --yes: probably the bucket is wrong. */
const REMOVED_PART_MAX = 0.1;

interface SyncOptions extends AddOptions {
  blobstore: string;
  endpoint?: string;
  prune?: boolean;
  yes?: boolean;
}

export const syncCommand = new Command("sync")
  .summary("add the resource pool in a blobstore to the cache")
  .description(
    "Adds the resources in the Cloud Controller's blobstore to the cache. It reads names and sizes. Blobs are named " +
      "<anything>/app_bits_cache/ab/cd/<sha1>.\n" +
      "With --prune it also removes resources that are not in the blobstore. It then changes nothing if a part can't be read, " +
      "or if that would remove more than a tenth of the cache.",
  )
  .requiredOption("--blobstore <place>", "directory, s3://bucket/prefix, azure://container/prefix")
  .option("--endpoint <url>", "server, if it is not AWS' or Azure's own")
  .option("--prune", "remove resources that are not in the blobstore")
  .option("--yes", "allow --prune to remove more than a tenth of the cache")
  .option("--dry-run", "change nothing: only count the resources")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nCredentials: AWS_… and AZURE_STORAGE_…, variables of their own tools.\n" +
      "\nExample:\n  resource-pool sync --prune --blobstore s3://cc-resources --url https://…",
  )
  .action((options: SyncOptions) => {
    if (options.yes && !options.prune) throw new Exit("usage", "--yes needs --prune.");
    return addResources(options, async (client, signal) => {
      const notAdded = { skipped: 0, unreadable: 0 };
      const objects = await openBlobstore(options.blobstore, options.endpoint, notAdded);
      const read = () => readPool(objects, options.blobstore, notAdded, signal);
      if (options.prune) return comparePools(client, read, notAdded, options, signal);
      let total: number | undefined;
      async function* keys() {
        const pool = await read();
        total = pool.size;
        yield* keysOf(pool);
      }
      return { keys: keys(), notAdded, totalOf: () => total };
    });
  });

/**
 * Reads the blobstore and the cache, and compares them.
 *
 * @param notAdded counts of the blobstore, complete once it is read
 * @returns the resources to add and to remove, so that the cache equals the blobstore
 * @throws Exit if the blobstore could not be read completely, or if too many resources would be removed
 */
async function comparePools(
  client: CacheClient,
  read: () => Promise<Pool>,
  notAdded: Readonly<NotAdded>,
  { yes, dryRun }: SyncOptions,
  signal: AbortSignal,
): Promise<Addition> {
  const { entries: total } = await client.status();
  const pool = await read();
  if (notAdded.unreadable > 0) {
    const parts = formatCount(notAdded.unreadable, "part");
    throw new Exit(
      "failed",
      `Refused: can't read ${parts} of the blobstore. Nothing was sent to the Worker. The messages above have the reason. ` +
        "Remove it, and run the command again.",
    );
  }
  const { entries, missing } = await findMissing(client, pool, total, signal);
  if (missing.length > REMOVED_PART_MAX * entries && !yes) {
    const refusal =
      `Refused: ${formatNumber(missing.length)} of the ${formatCount(entries, "resource")} in the cache are not in ` +
      "the blobstore: more than a tenth. Nothing was sent to the Worker. If this is the right blobstore, add --yes to " +
      "remove them.";
    if (!dryRun) throw new Exit("failed", refusal);
    note("This is more than a tenth of the cache. It would be refused without --yes.");
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
