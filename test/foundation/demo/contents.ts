import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Paths of two directories. */
export interface DemoDirectories {
  /** What is in the cache and in the local foundation's pool from the beginning: large files only. */
  present: string;
  /** The app that is pushed: many large files, and a few small ones. */
  app: string;
}

/** The large files: a stock foundation matches only what is larger than 65536 bytes. */
const LARGE_MIN_BYTES = 70_000;
const LARGE_STEP_BYTES = 3_333;
const HELD_FILES = 4;
const APP_FILES = 40;
const SMALL_FILES = 5;
const SMALL_BYTES = 100;

/**
 * Writes what the demo pushes and asks for. It is the same each time, so that the cache and the pool of an earlier
 * start go on knowing it.
 *
 * @param directory where it is kept
 */
export async function writeDemoFiles(directory: string): Promise<DemoDirectories> {
  const content = { present: join(directory, "present"), app: join(directory, "app") };
  for (let i = 0; i < HELD_FILES; i++) await write(content.present, numbered("framework", i), sizeOf(i));
  for (let i = 0; i < APP_FILES; i++) await write(content.app, numbered("public/asset", i), sizeOf(i));
  for (let i = 0; i < SMALL_FILES; i++) await write(content.app, numbered("small/file", i), SMALL_BYTES);
  return content;
}

/** Bytes that are the same for the same seed and size, and for no other. */
export function generateBytes(seed: string, size = LARGE_MIN_BYTES): Buffer {
  return createHash("shake256", { outputLength: size }).update(seed).digest();
}

function numbered(name: string, index: number): string {
  return `${name}-${String(index).padStart(2, "0")}.bin`;
}

/** 70 to 200 KB for the files of the app. */
function sizeOf(index: number): number {
  return LARGE_MIN_BYTES + index * LARGE_STEP_BYTES;
}

async function write(directory: string, path: string, size: number): Promise<void> {
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, generateBytes(path, size));
}
