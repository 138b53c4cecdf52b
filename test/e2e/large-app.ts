import { copyFile, mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type AppFixture, createApp } from "../foundry/app-fixture.ts";
import { mapConcurrently } from "../foundry/concurrency.ts";
import { PROJECT_ROOT } from "../foundry/worker-process.ts";

/** A package of thousands of files that the project itself depends on. */
const PACKAGE = join(PROJECT_ROOT, "node_modules/cloudflare");
const FILES_AT_A_TIME = 16;

export interface LargeApp extends AppFixture {
  /** Their paths. */
  files: string[];
}

/** An app of so many files that are not empty: part of a real Node.js package, its modes included. */
export async function createLargeApp(count: number): Promise<LargeApp> {
  const app = await createApp();
  const names = (await readdir(PACKAGE, { recursive: true })).sort();
  const sizes = await mapConcurrently(names, FILES_AT_A_TIME, async (name) => {
    const stats = await stat(join(PACKAGE, name));
    return stats.isFile() ? stats.size : 0;
  });
  const files = names.filter((_, index) => sizes[index]).slice(0, count);
  for (const directory of new Set(files.map(dirname)))
    await mkdir(join(app.path, directory), { recursive: true });
  await mapConcurrently(files, FILES_AT_A_TIME, (name) =>
    copyFile(join(PACKAGE, name), join(app.path, name)),
  );
  return { ...app, files };
}
