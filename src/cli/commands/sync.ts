import { Command } from "commander";
import { keysOf, openBlobstore } from "../blobstore/blobstore.ts";
import type { NotAdded } from "../blobstore/stored-object.ts";
import { Exit } from "../terminal/exit.ts";
import { type AddOptions, addResources } from "./add-resources.ts";
import { comparePools } from "./prune.ts";

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
      "observed after the command started. It sends nothing to the Worker if a part could not be read, if there is no " +
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
  .option("--dry-run", "count the resources, and send nothing to the Worker")
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
      const notAdded: NotAdded = { skipped: 0, unreadable: 0 };
      const readPool = await openBlobstore(options.blobstore, options.endpoint, notAdded);
      if (options.prune) return comparePools(client, readPool, notAdded, options, signal);
      let total: number | undefined;
      async function* keys() {
        const pool = await readPool(signal);
        total = pool.size;
        yield* keysOf(pool);
      }
      return { keys: keys(), notAdded, totalOf: () => total };
    });
  });
