import type { Command } from "commander";
import { withEndpointOptions } from "../api/endpoint.ts";
import { blobstoreResources } from "../blobstore/blobstore.ts";
import { keysOf, readPool } from "../blobstore/read-pool.ts";
import type { Passed } from "../blobstore/stored-object.ts";
import { Exit } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { type AddOptions, addResources } from "./add-resources.ts";
import { syncAndPrune } from "./sync-and-prune.ts";

interface SyncOptions extends AddOptions {
  blobstore: string;
  endpoint?: string;
  prune?: boolean;
  yes?: boolean;
}

export function registerSync(program: Command): void {
  const command = program
    .command("sync")
    .summary("add what the Cloud Controller's blobstore holds to the cache")
    .description(
      "Reads the Cloud Controller's own resource pool, and adds what it holds to the cache. Its blobs are named " +
        "<anything>/app_bits_cache/ab/cd/<sha1>, where ab and cd begin the SHA-1; whatever is named otherwise is " +
        "skipped; a second pool, like a backup, below another <anything> is an error. Only names and sizes are read, " +
        "to the end before the Worker is told anything. Then batches land as they go: Ctrl-C finishes the running one, " +
        "and the same command goes on later. In a directory, symbolic links are followed.\n\n" +
        "Nothing is removed from the cache, unless with --prune: then what the cache holds beyond the blobstore is " +
        "removed, except what was observed since the reading began. It refuses, before the Worker is told anything, if " +
        "something could not be read, if there is no blob at all, or if more than a tenth of the cache would go, which " +
        "--yes allows.",
    )
    .requiredOption("--blobstore <place>", "a directory, s3://bucket/prefix, or azure://container/prefix")
    .option(
      "--endpoint <url>",
      "of a server other than AWS' or Azure's own (R2, MinIO, Google Cloud Storage, …); where it begins with the " +
        "bucket's name, like https://<bucket>.oss-eu-central-1.aliyuncs.com, the bucket is asked for by host name",
    )
    .option("--prune", "remove what the blobstore does not hold")
    .option("--yes", "even if that is more than a tenth of the cache")
    .option("--dry-run", "say how many there are, and tell the Worker nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nCredentials and region are those of the services' own tools:\n" +
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
    );

  withEndpointOptions(command).action((options: SyncOptions) => {
    if (options.yes && !options.prune) throw new Exit("wrong-usage", "--yes goes with --prune.");
    const passed: Passed = { skipped: 0, leftOut: 0 };
    const open = () => blobstoreResources(options.blobstore, options.endpoint, passed);
    if (options.prune) return syncAndPrune(options, passed, open);
    return addResources(options, async () => {
      const resources = await open();
      let total: number | undefined;
      async function* keys() {
        const pool = await readPool(resources, finishOnInterrupt());
        total = pool.size;
        yield* keysOf(pool);
      }
      return {
        keys: keys(),
        totalOf: () => total,
        leftOut: () => ({ counts: { ...passed }, isIncomplete: passed.leftOut > 0 }),
      };
    });
  });
}
