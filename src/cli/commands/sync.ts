import type { Command } from "commander";
import { blobstoreResources, type Passed } from "../blobstore/blobstore.ts";
import { finishOnInterrupt } from "../interrupt.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";
import { addAndReport, type WriteOptions } from "./report-added.ts";
import { addToSnapshotAndReport } from "./report-snapshot.ts";

interface SyncOptions extends PoolOptions, WriteOptions {
  blobstore: string;
  endpoint?: string;
  snapshot?: boolean;
}

export function registerSync(program: Command): void {
  const command = program
    .command("sync")
    .summary("add what the Cloud Controller's blobstore holds to the cache")
    .description(
      "Reads the Cloud Controller's own resource pool, and adds what it holds to the cache. Its blobs are named\n" +
        "<anything>/ab/cd/<sha1>, where ab and cd begin the SHA-1; whatever is named otherwise is skipped. Only names\n" +
        "and sizes are read. Nothing is removed from the cache.\n\n" +
        "Batches land as they go: Ctrl-C finishes the running one, and the same command goes on later.",
    )
    .requiredOption("--blobstore <place>", "a directory, or s3://bucket/prefix")
    .option(
      "--endpoint <url>",
      "of an S3-compatible server (R2, MinIO, GCS, …) other than AWS. Credentials and region come from where AWS' " +
        "tools take them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, profiles, …",
    )
    .option("--snapshot", "put them into the snapshot, in a handful of writes, instead of a key for each")
    .option("--dry-run", "say what would be added, and write nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  resource-pool sync --blobstore /var/vcap/store/shared/cc-resources\n" +
        "  resource-pool sync --remote --blobstore s3://cc-resources --endpoint https://<account>.r2.cloudflarestorage.com",
    );

  withPoolOptions(command).action(async (options: SyncOptions) => {
    const signal = finishOnInterrupt();
    const passed: Passed = { skipped: 0, leftOut: 0 };
    const resources = await blobstoreResources(options.blobstore, options.endpoint, passed);
    await withPool(options, signal, (pool) =>
      (options.snapshot ? addToSnapshotAndReport : addAndReport)(pool, resources, options, signal, () => ({
        counts: { ...passed },
        isIncomplete: passed.leftOut > 0,
      })),
    );
  });
}
