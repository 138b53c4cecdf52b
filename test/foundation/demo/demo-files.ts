import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gatherDirectory } from "../cf-push/app-directory.ts";
import type { ResourcePool } from "../cloud-controller/resource-pool.ts";
import { mapConcurrently } from "../concurrency.ts";
import { digestFile } from "../content.ts";

/** Paths of two directories. */
export interface DemoDirectories {
  /** Large files that are in the cache and in the resource pool before the first push. */
  present: string;
  /** The app that is pushed: many large files and a few small ones. */
  app: string;
}

/** A stock foundation matches only files that are larger than 65,536 bytes. */
const LARGE_MIN_BYTES = 70_000;
const LARGE_STEP_BYTES = 3_333;
const PRESENT_FILES = 4;
const APP_FILES = 40;
const SMALL_FILES = 5;
const SMALL_BYTES = 100;
const CONCURRENT_FILES = 8;

/** Writes the files of the demo below `directory`. All but `new.bin` are the same at each start, so that earlier data stays valid. */
export async function writeDemoFiles(directory: string): Promise<DemoDirectories> {
  const directories = { present: join(directory, "present"), app: join(directory, "app") };
  const { present, app } = directories;
  for (let i = 0; i < PRESENT_FILES; i++) await writeTo(present, numberedPath("framework", i), largeSize(i));
  for (let i = 0; i < APP_FILES; i++) await writeTo(app, numberedPath("public/asset", i), largeSize(i));
  for (let i = 0; i < SMALL_FILES; i++) await writeTo(app, numberedPath("small/file", i), SMALL_BYTES);
  await writeFile(join(app, "new.bin"), generateBytes(`started at ${new Date().toISOString()}`));
  return directories;
}

/** Adds the files of a directory to the pool, as a push of them would. */
export async function addToPool(pool: ResourcePool, directory: string): Promise<void> {
  const files = (await gatherDirectory(directory)).filter(({ size }) => size !== 0);
  await mapConcurrently(files, CONCURRENT_FILES, async ({ path }) => {
    const { sha1, size, content } = await digestFile(join(directory, path));
    await pool.add(sha1, size, content);
  });
}

/** Returns the same bytes for the same seed and size. */
export function generateBytes(seed: string, size = LARGE_MIN_BYTES): Buffer {
  return createHash("shake256", { outputLength: size }).update(seed).digest();
}

function numberedPath(name: string, index: number): string {
  return `${name}-${String(index).padStart(2, "0")}.bin`;
}

/** 70 to 200 KB for the files of the app. */
function largeSize(index: number): number {
  return LARGE_MIN_BYTES + index * LARGE_STEP_BYTES;
}

async function writeTo(directory: string, path: string, size: number): Promise<void> {
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, generateBytes(path, size));
}
