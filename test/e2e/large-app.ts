import { type AppFixture, createApp } from "../foundry/app-fixture.ts";
import { mapConcurrently } from "../foundry/concurrency.ts";

const FILES_AT_A_TIME = 16;
const FOLDERS = ["lib", "dist/esm", "src/internal", "types"];
const FILES_PER_PACKAGE = 40;
/** Every package has a copy. */
const LICENSE = "Permission is hereby granted, free of charge, to any person obtaining a copy";

export interface LargeApp extends AppFixture {
  /** Their paths, in the order in which they are asked for. */
  files: string[];
}

/**
 * An app of so many files that are not empty, the same each time: packages with folders, most files a few hundred bytes and
 * some a hundred KB, some that run, and a license that lies in every package.
 */
export async function createLargeApp(count: number): Promise<LargeApp> {
  const app = await createApp();
  const files = Array.from({ length: count }, (_, index) => pathOf(index));
  await mapConcurrently([...files.entries()], FILES_AT_A_TIME, async ([index, path]) => {
    const content = index % FILES_PER_PACKAGE === 0 ? LICENSE : Buffer.alloc(sizeOf(index), path);
    await app.write(path, content, modeOf(index));
  });
  return { ...app, files };
}

function pathOf(index: number): string {
  const directory = `node_modules/package-${Math.floor(index / FILES_PER_PACKAGE)}`;
  if (index % FILES_PER_PACKAGE === 0) return `${directory}/LICENSE`;
  return `${directory}/${FOLDERS[index % FOLDERS.length]}/file-${index}.js`;
}

/** 100 to 900 bytes; of one in 1,000, 100 KB more. */
function sizeOf(index: number): number {
  return 100 + ((index * 7_919) % 800) + (index % 1_000 === 7 ? 100_000 : 0);
}

function modeOf(index: number): number {
  if (index % 50 === 1) return 0o755;
  return index % 50 === 2 ? 0o600 : 0o644;
}
