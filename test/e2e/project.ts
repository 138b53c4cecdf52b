import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT_ROOT } from "../foundry/worker-process.ts";

/** A directory with a wrangler.toml, where the local KV, R2 and queue lie too. */
export interface Project {
  directory: string;
  config: string;
  remove(): Promise<void>;
}

export interface ProjectOptions {
  /** Whether POOL_BUCKET is bound, and the queue consumed that tells of it. */
  bucket: boolean;
}

export async function createProject({ bucket }: ProjectOptions): Promise<Project> {
  const directory = await mkdtemp(join(tmpdir(), "e2e-"));
  await mkdir(join(directory, "pool"));
  const config = join(directory, "wrangler.toml");
  await writeFile(config, wranglerToml(bucket));
  return { directory, config, remove: () => rm(directory, { recursive: true, force: true }) };
}

function wranglerToml(bucket: boolean): string {
  return `
name = "resource-matches"
main = ${JSON.stringify(join(PROJECT_ROOT, "test/e2e/worker/entry.ts"))}
compatibility_date = "2026-10-01"

[[kv_namespaces]]
binding = "RESOURCE_CACHE"

[[durable_objects.bindings]]
name = "CATALOG"
class_name = "Catalog"

[[durable_objects.bindings]]
name = "PUSH_MEMORY"
class_name = "PushMemory"

[[migrations]]
tag = "v1"
new_sqlite_classes = ["Catalog", "PushMemory"]
${bucket ? QUEUE_AND_BUCKET : ""}`;
}

// The local bucket tells nobody of its changes: the producer is the test's own, in R2's place.
const QUEUE_AND_BUCKET = `
[[queues.producers]]
binding = "EVENTS"
queue = "resource-pool-changes"

[[queues.consumers]]
queue = "resource-pool-changes"
max_batch_size = 100
max_batch_timeout = 0
max_retries = 3
max_concurrency = 1

[[r2_buckets]]
binding = "POOL_BUCKET"
bucket_name = "resource-pool"
`;
