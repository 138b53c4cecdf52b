import type { Command } from "commander";
import { withEndpointOptions } from "../api/endpoint.ts";
import { blobstoreResources, type Passed } from "../blobstore/blobstore.ts";
import { Moment } from "../moment.ts";
import { type AddOptions, addAndReport } from "./add-and-report.ts";

interface SyncOptions extends AddOptions {
  blobstore: string;
  endpoint?: string;
}

export function registerSync(program: Command): void {
  const command = program
    .command("sync")
    .summary("add what the Cloud Controller's blobstore holds to the cache")
    .description(
      "Reads the Cloud Controller's own resource pool, and adds what it holds to the cache. Its blobs are named\n" +
        "<anything>/app_bits_cache/ab/cd/<sha1>, where ab and cd begin the SHA-1; whatever is named otherwise is\n" +
        "skipped. Only names and sizes are read. Nothing is removed from the cache.\n\n" +
        "Batches land as they go: Ctrl-C finishes the running one, and the same command goes on later.",
    )
    .requiredOption("--blobstore <place>", "a directory, or s3://bucket/prefix")
    .option(
      "--endpoint <url>",
      "of an S3-compatible server (R2, MinIO, GCS, …) other than AWS. Credentials and region come from where AWS' " +
        "tools take them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, profiles, …",
    )
    .option("--dry-run", "say how many there are, and tell the Worker nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  resource-pool sync --blobstore /var/vcap/store/shared/cc-resources --url https://api.example.com\n" +
        "  resource-pool sync --blobstore s3://cc-resources --endpoint https://<account>.r2.cloudflarestorage.com \\\n" +
        "    --url https://api.example.com",
    );

  withEndpointOptions(command).action((options: SyncOptions) =>
    addAndReport(options, async () => {
      // Before the listing: what leaves the pool while it goes on is then known to have left it later.
      const seen = new Moment();
      const passed: Passed = { skipped: 0, leftOut: 0 };
      return {
        keys: await blobstoreResources(options.blobstore, options.endpoint, passed),
        seen,
        leftOut: () => ({ counts: { ...passed }, isIncomplete: passed.leftOut > 0 }),
      };
    }),
  );
}
