import { realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { userDirectory } from "../user-directory.ts";
import type { AppFile } from "./app-file.ts";
import { archiveFiles, isArchiveName } from "./archive.ts";
import { directoryFiles } from "./directory.ts";
import { hashFile } from "./hash-file.ts";

/** How many files could not be read; each has been named on stderr. */
export interface LeftOut {
  count: number;
}

/** A file that could be read. */
export type ReadFile = Exclude<AppFile, { kind: "left-out" }>;

/**
 * The files of each of `paths`: of a directory or an archive as cf CLI would push it, or a single file.
 *
 * @param leftOut is counted up
 * @throws Exit at once if one of the paths does not exist
 */
export async function appFiles(
  paths: readonly string[],
  leftOut: LeftOut,
): Promise<AsyncGenerator<ReadFile>> {
  return readAll(await Promise.all(paths.map(locate)), leftOut);
}

/** Where there was nothing to ask for: an address that is nearly right must not seem to have worked. */
export function noFileIn(paths: readonly string[]): Exit {
  return new Exit(
    "done-in-part",
    `No file to ask for in ${paths.join(", ")}: symbolic links and empty files are never asked for.`,
  );
}

async function* readAll(roots: readonly Root[], leftOut: LeftOut): AsyncGenerator<ReadFile> {
  for (const root of roots) {
    try {
      for await (const file of filesOf(root)) {
        if (file.kind === "left-out") {
          leftOut.count += 1;
          note(`Left out: ${file.path}: ${file.reason}`);
        } else {
          yield roots.length > 1 && !root.isSingle ? { ...file, path: join(root.path, file.path) } : file;
        }
      }
    } catch (error) {
      leftOut.count += 1;
      note(`Left out: ${root.path}: ${reasonOf(error)}`);
    }
  }
}

interface Root {
  path: string;
  fullPath: string;
  isDirectory: boolean;
  isSingle: boolean;
}

async function locate(path: string): Promise<Root> {
  const fullPath = resolve(userDirectory(), path);
  try {
    const stats = await stat(fullPath);
    const isDirectory = stats.isDirectory();
    return { path, fullPath, isDirectory, isSingle: !isDirectory && !isArchiveName(fullPath) };
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
}

function filesOf({ fullPath, isDirectory, isSingle }: Root): AsyncIterable<AppFile> {
  if (isDirectory) return directoryFiles(fullPath);
  return isSingle ? singleFile(fullPath) : archiveFiles(fullPath);
}

async function* singleFile(fullPath: string): AsyncGenerator<AppFile> {
  yield await hashFile(await realpath(fullPath), basename(fullPath));
}
