import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import type * as yauzl from "yauzl";
import { type AppFile, goFileMode, SYMBOLIC_LINK } from "./app-file.ts";
import { archiveIgnoreList, IGNORE_FILE } from "./cf-ignore.ts";
import { openZip } from "./zip.ts";

const ARCHIVE_NAME = /\.(zip|jar|war|ear)$/i;

/** cf CLI sends this mode for every file of an archive. */
const ARCHIVED_FILE_MODE = 0o744;

/** Systems whose archives have Unix modes, by their numbers in the zip format: Unix and macOS. */
const UNIX_SYSTEMS = [3, 19];

export function isArchiveName(path: string): boolean {
  return ARCHIVE_NAME.test(path);
}

/**
 * Yields the files in a zip archive, in the archive's order.
 *
 * @throws if it is not a zip archive, or is damaged or encrypted. Files that were yielded before are valid
 */
export async function* archiveFiles(archive: string): AsyncGenerator<AppFile> {
  const zip = await openZip(archive);
  try {
    const entries: yauzl.Entry[] = [];
    for await (const entry of zip.eachEntry()) entries.push(entry);
    // cf CLI takes the first entry with this ending, in any directory.
    const ignoreFile = entries.find(({ fileName }) => fileName.endsWith(IGNORE_FILE));
    const ignoreList = archiveIgnoreList(
      ignoreFile ? await buffer(await openEntry(zip, ignoreFile)) : Buffer.alloc(0),
    );
    for (const entry of entries) {
      if (isDirectory(entry) || ignoreList.ignores(entry.fileName)) continue;
      yield await readEntry(zip, entry);
    }
  } finally {
    zip.close();
  }
}

async function readEntry(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<AppFile> {
  const path = entry.fileName;
  if (fileType(entry) === constants.S_IFLNK) {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode(unixMode(entry)) };
  }

  const hash = createHash("sha1");
  let checksum = 0;
  for await (const chunk of await openEntry(zip, entry)) {
    hash.update(chunk);
    checksum = crc32(chunk, checksum);
  }
  if (checksum !== entry.crc32) throw new Error(`the archive is damaged: the checksum of ${path} is wrong`);

  const size = entry.uncompressedSize;
  return size === 0
    ? { kind: "empty", path, mode: ARCHIVED_FILE_MODE }
    : { kind: "hashed", path, mode: ARCHIVED_FILE_MODE, sha1: hash.digest("hex"), size };
}

async function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry) {
  if (entry.isEncrypted()) throw new Error(`the archive is encrypted: ${entry.fileName}`);
  return zip.openReadStreamPromise(entry);
}

function isDirectory(entry: yauzl.Entry): boolean {
  return entry.fileName.endsWith("/") || fileType(entry) === constants.S_IFDIR;
}

function fileType(entry: yauzl.Entry): number {
  return unixMode(entry) & constants.S_IFMT;
}

function unixMode({ versionMadeBy, externalFileAttributes }: yauzl.Entry): number {
  return UNIX_SYSTEMS.includes(versionMadeBy >>> 8) ? externalFileAttributes >>> 16 : 0;
}
