import { join } from "node:path";
import { mapConcurrently } from "../concurrency.ts";
import { digestFile } from "../content.ts";
import { REGULAR_FILE, SYMLINK } from "../file-mode.ts";
import { type ArchiveContent, writeArchive } from "../zip.ts";
import { type AppEntry, readTarget, toUnixMode } from "./app-directory.ts";
import { PushFailed } from "./cf-connection.ts";

const CONCURRENT_FILES = 8;

/**
 * Writes the archive that cf CLI uploads.
 *
 * @throws PushFailed if a file has changed since `gatherDirectory`
 */
export async function archiveEntries(
  directory: string,
  entries: readonly AppEntry[],
  archivePath: string,
): Promise<void> {
  const contents = await mapConcurrently(entries, CONCURRENT_FILES, (entry) => readContent(directory, entry));
  await writeArchive(archivePath, contents);
}

async function readContent(directory: string, entry: AppEntry): Promise<ArchiveContent> {
  const { path, kind, mode, modified } = entry;
  switch (kind) {
    case "directory":
      // cf CLI gives its directories the type of a file.
      return { name: `${path}/`, mode: REGULAR_FILE | mode, modified, content: undefined };
    case "symlink": {
      const target = Buffer.from(await readTarget(directory, entry));
      return { name: path, mode: SYMLINK | toUnixMode(mode), modified, content: target };
    }
    case "file": {
      const { sha1, content } = await digestFile(join(directory, path));
      if (sha1 !== entry.sha1) throw new PushFailed(`${path} has changed while it was pushed`);
      return { name: path, mode: REGULAR_FILE | toUnixMode(mode), modified, content };
    }
  }
}
