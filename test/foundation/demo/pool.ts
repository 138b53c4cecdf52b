import { join } from "node:path";
import { gatherDirectory } from "../cf-push/app-directory.ts";
import type { ResourcePool } from "../cloud-controller/resource-pool.ts";
import { mapConcurrently } from "../concurrency.ts";
import { digestFile } from "../content.ts";

const FILES_AT_A_TIME = 8;

/** Puts the files of a directory into the pool, as if an app with them had been pushed. */
export async function addToPool(pool: ResourcePool, directory: string): Promise<void> {
  const files = (await gatherDirectory(directory)).filter(({ size }) => size !== 0);
  await mapConcurrently(files, FILES_AT_A_TIME, async ({ path }) => {
    const { sha1, size, content } = await digestFile(join(directory, path));
    await pool.add(sha1, size, content);
  });
}
