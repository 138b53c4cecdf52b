import { mapConcurrently } from "../foundation/concurrency.ts";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";

const FILES_AT_A_TIME = 16;
const FOLDERS = ["lib", "dist/esm"];
const FILES_PER_PACKAGE = 40;
const LICENSE_BYTES = 1_000;
/** Each package has a license. This many consecutive packages have the same one. */
const PACKAGES_PER_LICENSE = 25;

export interface LargeApp extends AppFixture {
  /** Paths of the files, package by package, which is the order in which a push sends them. */
  files: string[];
  /** Adds files until the app has `count` files. */
  grow(count: number): Promise<void>;
}

/**
 * Creates an app of `count` files, the same each time. It has packages with folders. Most files have a few hundred bytes, some 100 KB;
 * some are executable.
 */
export async function createLargeApp(count: number): Promise<LargeApp> {
  const app = await createApp();
  const files: string[] = [];
  const grow = async (size: number) => {
    const added = Array.from({ length: size - files.length }, (_, index) => files.length + index);
    files.push(...added.map(pathOf));
    await mapConcurrently(added, FILES_AT_A_TIME, (index) =>
      app.write(pathOf(index), contentOf(index), modeOf(index)),
    );
  };
  await grow(count);
  return { ...app, files, grow };
}

function contentOf(index: number): Buffer {
  if (index % FILES_PER_PACKAGE !== 0) return Buffer.alloc(sizeOf(index), pathOf(index));
  return Buffer.alloc(LICENSE_BYTES, `license ${Math.floor(packageOf(index) / PACKAGES_PER_LICENSE)} `);
}

function pathOf(index: number): string {
  const directory = `node_modules/package-${String(packageOf(index)).padStart(3, "0")}`;
  if (index % FILES_PER_PACKAGE === 0) return `${directory}/LICENSE`;
  return `${directory}/${FOLDERS[index % FOLDERS.length]}/file-${index}.js`;
}

const packageOf = (index: number) => Math.floor(index / FILES_PER_PACKAGE);

/** 100 to 900 bytes, and 100 KB more for one file in 1,000. */
function sizeOf(index: number): number {
  return 100 + ((index * 7_919) % 800) + (index % 1_000 === 7 ? 100_000 : 0);
}

function modeOf(index: number): number {
  if (index % 50 === 1) return 0o755;
  return index % 50 === 2 ? 0o600 : 0o644;
}
