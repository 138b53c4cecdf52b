import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { reasonOf } from "../terminal/exit.ts";
import { type AppFile, goFileMode, SYMBOLIC_LINK, unreadable } from "./app-file.ts";
import { directoryIgnoreList, IGNORE_FILE, type IgnoreList } from "./cf-ignore.ts";
import { hashFile } from "./hash-file.ts";

const CONCURRENCY = 8;

type ReadTask = () => Promise<AppFile>;

/**
 * Yields the files of an app in a directory, in cf CLI's order, without those that `.cfignore` and the built-in patterns
 * ignore. The directory itself may be a symbolic link; links below it are not followed.
 */
export async function* directoryFiles(directory: string): AsyncGenerator<AppFile> {
  const root = await realpath(directory);
  const ignoreList = directoryIgnoreList(await readIgnoreFile(root));
  const readers = Readable.from(walk(root, "", ignoreList));
  yield* readers.map((read: ReadTask) => read(), { concurrency: CONCURRENCY });
}

/** Yields functions that read a file. @param parent path relative to the app: empty, or with `/` at its end */
async function* walk(root: string, parent: string, ignoreList: IgnoreList): AsyncGenerator<ReadTask> {
  let entries: Dirent[];
  try {
    entries = await readdir(join(root, parent), { withFileTypes: true });
  } catch (error) {
    yield async () => unreadable(join(root, parent), reasonOf(error));
    return;
  }

  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = parent + entry.name;
    if (entry.isDirectory()) {
      const isSkipped = !ignoreList.hasExceptions && ignoreList.ignores(`${path}/`);
      if (!isSkipped) yield* walk(root, `${path}/`, ignoreList);
    } else if (!ignoreList.ignores(path)) {
      yield () => readEntry(entry, join(root, path), path);
    }
  }
}

async function readEntry(entry: Dirent, fullPath: string, path: string): Promise<AppFile> {
  if (entry.isFile()) return hashFile(fullPath, path);
  if (!entry.isSymbolicLink()) {
    return unreadable(fullPath, "it is neither a file, a directory nor a symbolic link");
  }
  try {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode((await lstat(fullPath)).mode) };
  } catch (error) {
    return unreadable(fullPath, reasonOf(error));
  }
}

async function readIgnoreFile(root: string): Promise<string> {
  try {
    return await readFile(join(root, IGNORE_FILE), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
