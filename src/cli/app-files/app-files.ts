import { realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { note } from "../terminal/output.ts";
import { resolveUserPath } from "../user-path.ts";
import { type AppFile, printable, specialFileType } from "./app-file.ts";
import { archiveFiles, isArchiveName } from "./archive.ts";
import { directoryFiles } from "./directory.ts";
import { hashFile } from "./hash-file.ts";

export type ReadFile = Exclude<AppFile, { kind: "unreadable" }>;

/**
 * Yields the files of each of `paths`: a directory or an archive as cf CLI would push it, or a single file.
 *
 * @param counts counts the files that could not be read; each is named on stderr
 * @throws Exit if one of the paths does not exist, or is no file or directory, before the first file
 */
export async function appFiles(
  paths: readonly string[],
  counts: { unreadable: number },
): Promise<AsyncGenerator<ReadFile>> {
  return readAll(await Promise.all(paths.map(findRoot)), counts);
}

/** A wrong path must not look like success. */
export function noFilesIn(paths: readonly string[]): Exit {
  return new Exit(
    "incomplete",
    `No files to match in ${paths.join(", ")}. Symbolic links and empty files are never matched.`,
  );
}

async function* readAll(roots: readonly Root[], counts: { unreadable: number }): AsyncGenerator<ReadFile> {
  for (const root of roots) {
    try {
      for await (const file of filesOf(root)) {
        if (file.kind === "unreadable") {
          counts.unreadable += 1;
          note(printable(`Can't read ${file.path}: ${file.reason}`));
        } else {
          yield roots.length > 1 && root.kind !== "file"
            ? { ...file, path: join(root.path, file.path) }
            : file;
        }
      }
    } catch (error) {
      counts.unreadable += 1;
      note(printable(`Can't read ${root.path}: ${reasonOf(error)}`));
    }
  }
}

interface Root {
  path: string;
  fullPath: string;
  kind: "directory" | "archive" | "file";
}

async function findRoot(path: string): Promise<Root> {
  const fullPath = resolveUserPath(path);
  const stats = await stat(fullPath).catch((error) => {
    // Node.js decodes arguments as UTF-8, and so loses other bytes.
    const advice = path.includes("\ufffd")
      ? ". If its name is not UTF-8, name the directory that has it."
      : "";
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}${advice}`);
  });
  if (stats.isDirectory()) return { path, fullPath, kind: "directory" };
  if (!stats.isFile()) {
    throw new Exit("failed", `Can't read ${path}: it is ${specialFileType(stats)}, no file or directory.`);
  }
  return { path, fullPath, kind: isArchiveName(fullPath) ? "archive" : "file" };
}

async function* filesOf({ fullPath, kind }: Root): AsyncGenerator<AppFile> {
  if (kind === "directory") yield* directoryFiles(fullPath);
  else if (kind === "archive") yield* archiveFiles(fullPath);
  else yield await hashFile(await realpath(fullPath), basename(fullPath));
}
