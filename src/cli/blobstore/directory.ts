import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { parseBlobName } from "../../resources/blob-name.ts";
import { mapOrdered } from "../map-ordered.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import type { Passed, StoredObject } from "./stored-object.ts";

const FILES_AT_A_TIME = 16;

/**
 * The files of a blobstore on disk. Symbolic links are followed, as the servers of such blobstores do.
 *
 * @param location the root as it was given
 * @throws Exit if the root itself can't be read
 */
export async function* directoryObjects(
  root: string,
  location: string,
  passed: Passed,
): AsyncGenerator<StoredObject> {
  const { entries, ancestors } = await enter(root, new Set()).catch((error) => {
    throw new Exit("failed", `Can't read ${location}: ${reasonOf(error)}`);
  });
  const paths = walk(root, entries, ancestors, passed);
  for await (const object of mapOrdered(paths, FILES_AT_A_TIME, (path) => measure(path, passed))) {
    if (object) yield object;
  }
}

async function measure(path: string, passed: Passed): Promise<StoredObject | undefined> {
  const name = path.replaceAll(sep, "/");
  // What no blob is called will be skipped, whatever its size.
  if (parseBlobName(name) === undefined) return { name, size: 0 };
  try {
    return { name, size: (await stat(path)).size };
  } catch (error) {
    if (!(await isRemoved(path, error))) leaveOut(path, error, passed);
    return undefined;
  }
}

/** Whether the Cloud Controller has removed a blob meanwhile: not where its directory, or the whole disk, is gone too. */
async function isRemoved(path: string, error: unknown): Promise<boolean> {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") return false;
  return stat(dirname(path)).then(
    () => true,
    () => false,
  );
}

/** @param ancestors real paths of the directories that `directory` lies in, and its own */
async function* walk(
  directory: string,
  entries: readonly Dirent[],
  ancestors: ReadonlySet<string>,
  passed: Passed,
): AsyncGenerator<string> {
  for (const entry of entries) {
    const path = join(directory, entry.name);
    // A link that leads nowhere, like a directory that has vanished, may be a disk that is gone.
    try {
      const kind = entry.isSymbolicLink() ? await stat(path) : entry;
      if (kind.isDirectory()) {
        const below = await enter(path, ancestors);
        yield* walk(path, below.entries, below.ancestors, passed);
      } else if (kind.isFile()) yield path;
      else passed.skipped += 1;
    } catch (error) {
      leaveOut(path, error, passed);
    }
  }
}

async function enter(directory: string, ancestors: ReadonlySet<string>) {
  const real = await realpath(directory);
  if (ancestors.has(real)) throw new Error("it leads back to a directory that it lies in");
  const entries = await readdir(directory, { withFileTypes: true });
  return { entries, ancestors: new Set([...ancestors, real]) };
}

function leaveOut(path: string, error: unknown, passed: Passed): void {
  passed.leftOut += 1;
  note(`Left out: ${path}: ${reasonOf(error)}`);
}
