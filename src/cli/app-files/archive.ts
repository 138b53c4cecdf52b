import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import type * as yauzl from "yauzl";
import { type AppFile, goFileMode, SYMBOLIC_LINK } from "./app-file.ts";
import { archiveIgnoreList, IGNORE_FILE } from "./cf-ignore.ts";
import { openZip } from "./zip.ts";

const ARCHIVE_NAME = /\.(zip|jar|war|ear)$/i;

/** cf CLI gives every file of an archive this mode. */
const ARCHIVED_FILE_MODE = 0o744;

const FILE_TYPE_MASK = 0o170000;
const FILE_TYPE_LINK = 0o120000;
const FILE_TYPE_DIRECTORY = 0o040000;

/** Systems whose archives tell Unix modes: Unix and macOS, as the format numbers them. */
const UNIX_SYSTEMS = [3, 19];

export function isArchiveName(path: string): boolean {
  return ARCHIVE_NAME.test(path);
}

/**
 * The files of an app in a zip, jar or war, in the archive's order: cf CLI asks for those, not for the archive.
 *
 * @throws for a file that is no zip archive, or a damaged or encrypted one; what has been yielded is right
 */
export async function* archiveFiles(archive: string): AsyncGenerator<AppFile> {
  const zip = await openZip(archive);
  try {
    const entries: yauzl.Entry[] = [];
    for await (const entry of zip.eachEntry()) entries.push(entry);
    // cf CLI takes the first entry whose name ends so, in whatever directory.
    const ignoreFile = entries.find(({ fileName }) => fileName.endsWith(IGNORE_FILE));
    const ignoreList = archiveIgnoreList(ignoreFile ? await text(await openEntry(zip, ignoreFile)) : "");
    for (const entry of entries) {
      if (isDirectory(entry) || ignoreList.ignores(entry.fileName)) continue;
      yield await examine(zip, entry);
    }
  } finally {
    zip.close();
  }
}

async function examine(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<AppFile> {
  const path = entry.fileName;
  if (fileType(entry) === FILE_TYPE_LINK) {
    return { kind: "link", path, mode: SYMBOLIC_LINK + goFileMode(unixMode(entry)) };
  }

  const hash = createHash("sha1");
  let checksum = 0;
  for await (const chunk of await openEntry(zip, entry)) {
    hash.update(chunk);
    checksum = crc32(chunk, checksum);
  }
  if (checksum !== entry.crc32) throw new Error(`the archive is damaged: ${path} has another checksum`);

  const size = entry.uncompressedSize;
  return size === 0
    ? { kind: "empty", path, mode: ARCHIVED_FILE_MODE }
    : { kind: "hashed", path, mode: ARCHIVED_FILE_MODE, sha1: hash.digest("hex"), size };
}

async function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry) {
  if (entry.isEncrypted()) throw new Error(`the archive is encrypted: ${entry.fileName} can't be read`);
  return zip.openReadStreamPromise(entry);
}

function isDirectory(entry: yauzl.Entry): boolean {
  return entry.fileName.endsWith("/") || fileType(entry) === FILE_TYPE_DIRECTORY;
}

function fileType(entry: yauzl.Entry): number {
  return unixMode(entry) & FILE_TYPE_MASK;
}

function unixMode({ versionMadeBy, externalFileAttributes }: yauzl.Entry): number {
  return UNIX_SYSTEMS.includes(versionMadeBy >>> 8) ? externalFileAttributes >>> 16 : 0;
}
