import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { mapOrdered } from "../map-ordered.ts";
import { reasonOf } from "../terminal/exit.ts";
import { type AppFile, goFileMode, SYMBOLIC_LINK } from "./app-file.ts";
import { directoryIgnoreList, IGNORE_FILE, type IgnoreList } from "./cf-ignore.ts";
import { hashFile } from "./hash-file.ts";

const CONCURRENCY = 8;

interface DirectoryItem {
  /** Relative to the app, with `/`. */
  path: string;
  fullPath: string;
  entry: Dirent | { unreadable: string };
}

/**
 * Yields the files of an app in a directory, in cf CLI's order, without those that `.cfignore` and the built-in patterns
 * ignore. The directory itself may be a symbolic link; links below it are not followed.
 */
export async function* directoryFiles(directory: string): AsyncGenerator<AppFile> {
  const root = await realpath(directory);
  const ignoreList = directoryIgnoreList(await readIgnoreFile(root));
  yield* mapOrdered(walk(root, "", ignoreList), CONCURRENCY, readItem);
}

async function* walk(root: string, parent: string, ignoreList: IgnoreList): AsyncGenerator<DirectoryItem> {
  let entries: Dirent[];
  try {
    entries = await readdir(join(root, parent), { withFileTypes: true });
  } catch (error) {
    const entry = { unreadable: reasonOf(error) };
    yield { path: parent, fullPath: join(root, parent), entry };
    return;
  }

  for (const entry of entries.sort(byName)) {
    const path = parent + entry.name;
    if (entry.isDirectory()) {
      const isSkipped = !ignoreList.hasExceptions && ignoreList.ignores(`${path}/`);
      if (!isSkipped) yield* walk(root, `${path}/`, ignoreList);
    } else if (!ignoreList.ignores(path)) {
      yield { path, fullPath: join(root, path), entry };
    }
  }
}

async function readItem({ path, fullPath, entry }: DirectoryItem): Promise<AppFile> {
  if ("unreadable" in entry) return { kind: "unreadable", path: fullPath, reason: entry.unreadable };
  if (entry.isFile()) return hashFile(fullPath, path);
  if (!entry.isSymbolicLink()) {
    return {
      kind: "unreadable",
      path: fullPath,
      reason: "it is neither a file, a directory nor a symbolic link",
    };
  }
  try {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode((await lstat(fullPath)).mode) };
  } catch (error) {
    return { kind: "unreadable", path: fullPath, reason: reasonOf(error) };
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

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}
