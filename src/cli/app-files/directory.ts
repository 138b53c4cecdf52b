import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { reasonOf } from "../terminal/exit.ts";
import { type AppFile, goFileMode, SYMBOLIC_LINK, specialFileType, unreadable } from "./app-file.ts";
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
  const readers = Readable.from(walk(root, Buffer.alloc(0), ignoreList));
  yield* readers.map((read: ReadTask) => read(), { concurrency: CONCURRENCY });
}

/**
 * Yields functions that read a file. Names may be any bytes. Like cf CLI, it also walks ignored directories: `.cfignore`
 * may include files of these again.
 *
 * @param parent path relative to the app: empty, or with `/` at its end
 */
async function* walk(root: string, parent: Buffer, ignoreList: IgnoreList): AsyncGenerator<ReadTask> {
  const start = Buffer.concat([Buffer.from(join(root, "/")), parent]);
  let entries: Dirent<Buffer>[];
  try {
    entries = await readdir(start, { withFileTypes: true, encoding: "buffer" });
  } catch (error) {
    yield async () => unreadable(join(root, parent.toString()), reasonOf(error));
    return;
  }

  for (const entry of entries.sort((a, b) => Buffer.compare(a.name, b.name))) {
    const bytes = Buffer.concat([parent, entry.name]);
    const path = bytes.toString();
    if (entry.isDirectory()) yield* walk(root, Buffer.concat([bytes, Buffer.from("/")]), ignoreList);
    else if (!ignoreList.ignores(path))
      yield () => readEntry(entry, Buffer.concat([start, entry.name]), path);
  }
}

async function readEntry(entry: Dirent<Buffer>, fullPath: Buffer, path: string): Promise<AppFile> {
  if (entry.isFile()) return hashFile(fullPath, path);
  if (!entry.isSymbolicLink()) {
    const reason = `it is ${specialFileType(entry)}, which cf push can't read. Delete it, or ignore it in .cfignore`;
    return unreadable(fullPath.toString(), reason);
  }
  try {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode((await lstat(fullPath)).mode) };
  } catch (error) {
    return unreadable(fullPath.toString(), reasonOf(error));
  }
}

async function readIgnoreFile(root: string): Promise<Buffer> {
  const path = join(root, IGNORE_FILE);
  try {
    // Opening a pipe would wait for its writer.
    if (!(await stat(path)).isFile()) throw new Error(`${path} is no regular file`);
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
