import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { basename } from "node:path";
import { buffer } from "node:stream/consumers";
import { note } from "../terminal/output.ts";
import { type AppFile, goFileMode, printable, SYMBOLIC_LINK } from "./app-file.ts";
import { archiveIgnoreList, IGNORE_FILE, type IgnoreList } from "./cf-ignore.ts";
import { ZipArchive, type ZipEntry } from "./zip.ts";

const ARCHIVE_NAME = /\.(zip|jar|war|ear)$/i;

/** cf CLI sends this mode for every file of an archive. */
const ARCHIVED_FILE_MODE = 0o744;

export function isArchiveName(path: string): boolean {
  return ARCHIVE_NAME.test(path);
}

/**
 * Yields the files in a zip archive, in the archive's order.
 *
 * @throws if it is not a zip archive, or is damaged or encrypted. Files that were yielded before are valid
 */
export async function* archiveFiles(archive: string): AsyncGenerator<AppFile> {
  const zip = await ZipArchive.open(archive);
  try {
    const ignoreList = await readIgnoreList(zip);
    const name = basename(archive);
    /** By path. */
    const checksums = new Map<string, string>();
    let count = 0;
    for await (const entry of zip.entries()) {
      if (ignoreList.ignores(entry.path)) continue;
      count += 1;
      if (entry.isDirectory) continue;
      const file = await readEntry(zip, entry);
      yield file;
      if (file.kind !== "hashed") continue;
      const sha1 = checksums.get(file.path) ?? file.sha1;
      checksums.set(file.path, sha1);
      if (sha1 !== file.sha1) {
        note(
          printable(
            `${name} has ${file.path} twice, with different contents: cf push fails if it has to upload one.`,
          ),
        );
      }
    }
    if (count === 1) note(`cf push refuses ${name}: an archive needs at least two entries.`);
  } finally {
    await zip.close();
  }
}

/** Reads the list of entries to its end, so that a damaged list yields no file. */
async function readIgnoreList(zip: ZipArchive): Promise<IgnoreList> {
  let cfIgnore: ZipEntry | undefined;
  // cf CLI takes the first entry with this ending, in any directory.
  for await (const entry of zip.entries()) if (entry.path.endsWith(IGNORE_FILE)) cfIgnore ??= entry;
  return archiveIgnoreList(cfIgnore ? await buffer(zip.read(cfIgnore)) : Buffer.alloc(0));
}

async function readEntry(zip: ZipArchive, entry: ZipEntry): Promise<AppFile> {
  const { path, size, unixMode } = entry;
  if ((unixMode & constants.S_IFMT) === constants.S_IFLNK) {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode(unixMode) };
  }
  const hash = createHash("sha1");
  for await (const chunk of zip.read(entry)) hash.update(chunk);
  return size === 0
    ? { kind: "empty", path, mode: ARCHIVED_FILE_MODE }
    : { kind: "hashed", path, mode: ARCHIVED_FILE_MODE, sha1: hash.digest("hex"), size };
}
