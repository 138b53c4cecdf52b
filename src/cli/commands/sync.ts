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
  .summary("add the resource pool in the Cloud Controller's blobstore to the cache")
  .description(
    "Adds the resources in the Cloud Controller's blobstore to the cache. It reads only names and sizes.\n\n" +
      "Blobs of a pool are named <anything>/app_bits_cache/ab/cd/<sha1>, where ab and cd are the first digits of the " +
      "SHA-1. Other names are skipped. A second pool, like a backup below another <anything>, is an error. In a " +
      "directory, symbolic links are followed.\n\n" +
      "It reads the blobstore to the end, then sends batches to the Worker. After Ctrl-C it finishes the running " +
      "batch. Run the command again to continue.\n\n" +
      "With --prune it also removes resources from the cache that are not in the blobstore, except those that were " +
      "added to the cache after the command started. It sends nothing to the Worker if a part could not be read, if there is no " +
      "blob, or if it would remove more than a tenth of the cache. In the last case, --yes allows it.",
  )
  .requiredOption("--blobstore <place>", "a directory, s3://bucket/prefix, or azure://container/prefix")
  .option(
    "--endpoint <url>",
    "URL of a server other than AWS' or Azure's own (R2, MinIO, Google Cloud Storage, …). If it begins with the " +
      "bucket's name, like https://<bucket>.oss-eu-central-1.aliyuncs.com, it is the host of the bucket",
  )
  .option("--prune", "remove resources that are not in the blobstore")
  .option("--yes", "allow --prune to remove more than a tenth of the cache")
  .option("--dry-run", "only count the resources, and those that the Worker would refuse")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nCredentials and region come from the variables of the services' own tools:\n" +
      "  s3://     AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION or\n" +
      "            AWS_DEFAULT_REGION, profiles, …\n" +
      "  azure://  AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with\n" +
      "            AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN\n" +
      "\nExamples:\n" +
      "  resource-pool sync --blobstore /var/vcap/store/shared/cc-resources \\\n" +
      "    --url https://api.example.com\n" +
      "  resource-pool sync --prune --blobstore s3://cc-resources \\\n" +
      "    --endpoint https://<account>.r2.cloudflarestorage.com \\\n" +
      "    --url https://api.example.com",
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
