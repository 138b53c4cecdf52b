import { existsSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { Readable } from "node:stream";
import { parseBlobName } from "../../resources/blob-name.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import type { NotAdded, StoredObject } from "./stored-object.ts";

const CONCURRENCY = 16;

/**
 * Lists the files of a blobstore on disk. Follows symbolic links, as the servers of such blobstores do.
 *
 * @param location the root as the user wrote it
 * @throws Exit if the root itself can't be read
 */
export async function* directoryObjects(
  root: string,
  location: string,
  counts: NotAdded,
): AsyncGenerator<StoredObject> {
  try {
    const paths = Readable.from(walk(root, [], counts));
    const objects = paths.map((path: string) => measure(path, counts), { concurrency: CONCURRENCY });
    for await (const object of objects) if (object) yield object;
  } catch (error) {
    throw new Exit("failed", `Can't read ${location}: ${reasonOf(error)}`);
  }
}

async function measure(path: string, counts: NotAdded): Promise<StoredObject | undefined> {
  const name = path.replaceAll(sep, "/");
  // The caller skips files that are not named like blobs: their sizes are not needed.
  if (parseBlobName(name) === undefined) return { name, size: 0 };
  try {
    return { name, size: (await stat(path)).size };
  } catch (error) {
    if (!isRemoved(path, error)) countUnreadable(path, error, counts);
    return undefined;
  }
}

/** Whether a blob was removed since it was listed. If its directory is gone too, the disk may be. */
function isRemoved(path: string, error: unknown): boolean {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") return false;
  return existsSync(dirname(path));
}

/**
 * @param ancestors real paths of the directories above
 * @throws if `directory` itself can't be read
 */
async function* walk(
  directory: string,
  ancestors: readonly string[],
  counts: NotAdded,
): AsyncGenerator<string> {
  const real = await realpath(directory);
  if (ancestors.includes(real)) throw new Error("it links to a directory above itself");
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    // A broken link or a directory that disappeared may be a disk that is not mounted.
    try {
      const kind = entry.isSymbolicLink() ? await stat(path) : entry;
      if (kind.isDirectory()) yield* walk(path, [...ancestors, real], counts);
      else if (kind.isFile()) yield path;
      else counts.skipped += 1;
    } catch (error) {
      countUnreadable(path, error, counts);
    }
  }
}

function countUnreadable(path: string, error: unknown, counts: NotAdded): void {
  counts.unreadable += 1;
  note(`Can't read ${path}: ${reasonOf(error)}`);
}
