import { type Dirent, existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { Readable } from "node:stream";
import { parseBlobName } from "../../resources/blob-name.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { countUnreadable, type NotAdded, type StoredObject } from "./stored-object.ts";

const CONCURRENCY = 16;
const READINGS_MAX = 4;

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
    if (!isRemoved(path, error)) cannotRead(path, error, counts);
    return undefined;
  }
}

/** Whether a blob was removed since it was listed. If its directory is gone too, the disk may be. */
function isRemoved(path: string, error: unknown): boolean {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") return false;
  return existsSync(dirname(path));
}

/**
 * @param ancestors identities of the directories above
 * @throws if `directory` itself can't be read
 */
async function* walk(
  directory: string,
  ancestors: readonly string[],
  counts: NotAdded,
): AsyncGenerator<string> {
  const { entries, identity } = await readEntries(directory, counts);
  if (ancestors.includes(identity)) throw new Error("it links to a directory above itself");
  let hasDirectories = false;
  for (const entry of entries) {
    const path = join(directory, entry.name);
    // A broken link or a directory that disappeared may be a disk that is not mounted.
    try {
      const kind = entry.isSymbolicLink() ? await stat(path) : entry;
      if (kind.isDirectory()) {
        hasDirectories = true;
        yield* walk(path, [...ancestors, identity], counts);
      } else if (kind.isFile()) yield path;
      else counts.skipped += 1;
    } catch (error) {
      cannotRead(path, error, counts);
    }
  }
  if (!hasDirectories) return;
  // A disk was mounted or unmounted, or the directory was exchanged. New and removed entries are no problem.
  const isSame = await stateOf(directory).then(
    (state) => state.identity === identity,
    () => false,
  );
  if (!isSame) cannotRead(directory, "it was removed or replaced while it was read", counts);
}

/**
 * Reads the names in a directory. If it changes while they are read, file systems may leave out some that stay, so it is
 * read again, until nothing changed or two readings agree.
 */
async function readEntries(
  directory: string,
  counts: NotAdded,
): Promise<{ entries: Dirent[]; identity: string }> {
  let before = await stateOf(directory);
  let previousNames: string | undefined;
  for (let reading = 1; ; reading += 1) {
    const entries = await readdir(directory, { withFileTypes: true });
    const after = await stateOf(directory);
    const result = { entries, identity: after.identity };
    if (after.version === before.version) return result;
    const names = entries
      .map(({ name }) => name)
      .sort()
      .join("/");
    if (names === previousNames) return result;
    if (reading === READINGS_MAX) {
      cannotRead(directory, "it changes all the time while it is read", counts);
      return result;
    }
    before = after;
    previousNames = names;
  }
}

async function stateOf(directory: string): Promise<{ identity: string; version: string }> {
  const { dev, ino, mtimeNs, ctimeNs } = await stat(directory, { bigint: true });
  return { identity: `${dev} ${ino}`, version: `${dev} ${ino} ${mtimeNs} ${ctimeNs}` };
}

function cannotRead(path: string, error: unknown, counts: NotAdded): void {
  countUnreadable(counts, `Can't read ${path}: ${reasonOf(error)}`);
}
