import { lstat, readdir } from "node:fs/promises";
import { join, sep } from "node:path";
import { sha1OfBlob } from "../../blob-name.ts";
import { reasonOf } from "../exit.ts";
import { mapOrdered } from "../files/map-ordered.ts";
import { note } from "../output.ts";
import type { Passed, StoredObject } from "./blobstore.ts";

const FILES_AT_A_TIME = 16;

/** The regular files of a blobstore on disk. Links are no blobs, and never followed. */
export async function* directoryObjects(root: string, passed: Passed): AsyncGenerator<StoredObject> {
  for await (const object of mapOrdered(walk(root, passed), FILES_AT_A_TIME, (path) =>
    measure(path, passed),
  )) {
    if (object) yield object;
  }
}

async function measure(path: string, passed: Passed): Promise<StoredObject | undefined> {
  const name = path.replaceAll(sep, "/");
  // What no blob is called will be skipped, whatever its size.
  if (sha1OfBlob(name) === undefined) return { name, size: 0 };
  try {
    return { name, size: (await lstat(path)).size };
  } catch (error) {
    leaveOut(path, error, passed);
    return undefined;
  }
}

async function* walk(directory: string, passed: Passed): AsyncGenerator<string> {
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) yield* walk(path, passed);
      else if (entry.isFile()) yield path;
      else passed.skipped += 1;
    }
  } catch (error) {
    leaveOut(directory, error, passed);
  }
}

function leaveOut(path: string, error: unknown, passed: Passed): void {
  // The Cloud Controller has removed it meanwhile: the blobstore does not hold it.
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
  passed.leftOut += 1;
  note(`Left out: ${path}: ${reasonOf(error)}`);
}
