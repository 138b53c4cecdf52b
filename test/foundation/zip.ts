import { createWriteStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { crc32, inflateRawSync } from "node:zlib";
import { type Entry, fromBufferPromise, openPromise, type ZipFile as ReadableZip } from "yauzl";
import { ZipFile } from "yazl";
import type { Content, Source } from "./content.ts";
import { DIRECTORY, FILE_TYPE, REGULAR_FILE, SYMLINK } from "./file-mode.ts";

/** One entry of an open archive. Its content can be read until the archive is closed. */
export interface ArchiveEntry extends Source {
  /** A directory's name ends in a slash. */
  name: string;
  /** A directory is recognised by its name, as unzip does. */
  kind: "file" | "directory" | "symlink";
  /** All 16 bits. */
  mode: number;
  modified: Date;
}

/** Smaller archives are read into memory. */
const SMALL_MAX_BYTES = 64 * 1024 * 1024;
/** Size of the header before each file, and the offsets of the lengths of its last two fields. */
const LOCAL_HEADER_BYTES = 30;
const NAME_LENGTH_OFFSET = 26;
const EXTRA_LENGTH_OFFSET = 28;
const MADE_ON_UNIX = 3;
const DEFLATED = 8;
/** Compressing smaller files costs more time than it saves. */
const DEFLATED_MIN_BYTES = 1_024;

export interface OpenArchive {
  entries: ArchiveEntry[];
  close(): void;
}

/**
 * Opens a zip archive.
 *
 * @param source its path or its bytes
 * @throws Error if it is no archive, or has unsafe names
 */
export async function openArchive(source: string | Buffer): Promise<OpenArchive> {
  const options = { lazyEntries: true, autoClose: false, strictFileNames: true };
  const isSmall = typeof source === "string" && (await stat(source)).size <= SMALL_MAX_BYTES;
  const inMemory = isSmall ? await readFile(source) : source;
  const bytes = Buffer.isBuffer(inMemory) ? inMemory : undefined;
  const archive = await (bytes ? fromBufferPromise(bytes, options) : openPromise(source as string, options));
  const entries: ArchiveEntry[] = [];
  try {
    for await (const entry of archive.eachEntry()) {
      const [name, mode] = [nameOf(entry), modeOf(entry)];
      entries.push({
        name,
        kind: kindOf(name, mode),
        mode,
        size: entry.uncompressedSize,
        modified: entry.getLastModDate(),
        read: async () =>
          decompress(entry, bytes ? sliceCompressed(bytes, entry) : await readCompressed(archive, entry)),
        open: async () => Readable.from(verifyChecksum(entry, await archive.openReadStreamPromise(entry))),
      });
    }
  } catch (error) {
    archive.close();
    throw error;
  }
  return { entries, close: () => archive.close() };
}

/** One entry of an archive to write. */
export interface ArchiveContent {
  name: string;
  /** All 16 bits. */
  mode: number;
  modified: Date;
  /** Undefined for a directory. */
  content: Content | undefined;
}

/** Writes an archive. Its entries keep the given order. */
export async function writeArchive(
  path: string,
  contents: Iterable<ArchiveContent>,
  { compress = true } = {},
): Promise<void> {
  const archive = new ZipFile();
  const output = archive.outputStream as Readable;
  archive.on("error", (error) => output.destroy(error));
  const written = pipeline(output, createWriteStream(path));
  for (const { name, mode, modified: mtime, content } of contents) {
    if (content === undefined) archive.addEmptyDirectory(name, { mode, mtime });
    else if (Buffer.isBuffer(content)) {
      const isLargeEnough = content.length >= DEFLATED_MIN_BYTES;
      archive.addBuffer(content, name, { mode, mtime, compress: compress && isLargeEnough });
    } else {
      archive.addReadStreamLazy(name, { mode, mtime, compress }, (deliver) => {
        content().then(
          (stream) => deliver(null, stream),
          (error) => deliver(error, undefined as never),
        );
      });
    }
  }
  archive.end();
  await written;
}

/** Slices the compressed bytes from the archive. A stream for each of thousands of small files takes ten times as long. */
function sliceCompressed(
  archive: Buffer,
  { relativeOffsetOfLocalHeader: header, compressedSize, fileName }: Entry,
): Buffer {
  if (header + LOCAL_HEADER_BYTES > archive.length) throw new Error(`${fileName} is damaged`);
  const variableFields =
    archive.readUInt16LE(header + NAME_LENGTH_OFFSET) + archive.readUInt16LE(header + EXTRA_LENGTH_OFFSET);
  const start = header + LOCAL_HEADER_BYTES + variableFields;
  return archive.subarray(start, start + compressedSize);
}

async function readCompressed(archive: ReadableZip, entry: Entry): Promise<Buffer> {
  return buffer(await archive.openReadStreamPromise(entry, { decodeFileData: false }));
}

function decompress(entry: Entry, compressed: Buffer): Buffer {
  const content = entry.compressionMethod === DEFLATED ? inflateRawSync(compressed) : compressed;
  if (crc32(content) !== entry.crc32) throw new Error(`${entry.fileName} is damaged`);
  return content;
}

async function* verifyChecksum(entry: Entry, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let checksum = 0;
  for await (const chunk of chunks) {
    checksum = crc32(chunk, checksum);
    yield chunk;
  }
  if (checksum !== entry.crc32) throw new Error(`${entry.fileName} is damaged`);
}

/** Like unzip, which the Cloud Controller runs: a name that was written on Unix is bytes, also without the flag for UTF-8. */
function nameOf({ fileName, fileNameRaw, versionMadeBy }: Entry): string {
  return versionMadeBy >> 8 === MADE_ON_UNIX ? fileNameRaw.toString() : fileName;
}

function modeOf({ fileName, versionMadeBy, externalFileAttributes }: Entry): number {
  if (versionMadeBy >> 8 === MADE_ON_UNIX) return externalFileAttributes >>> 16;
  return fileName.endsWith("/") ? DIRECTORY | 0o755 : REGULAR_FILE | 0o644;
}

function kindOf(name: string, mode: number): ArchiveEntry["kind"] {
  if (name.endsWith("/")) return "directory";
  return (mode & FILE_TYPE) === SYMLINK ? "symlink" : "file";
}

/**
 * Whether rubyzip considers an entry a directory. The Cloud Controller uses rubyzip to find directories. rubyzip decides by
 * the file type in the mode, and cf CLI gives its directories the type of a regular file.
 */
export function isDirectoryToRubyzip({ name, mode }: Pick<ArchiveEntry, "name" | "mode">): boolean {
  const type = mode & FILE_TYPE;
  if (type === REGULAR_FILE || type === SYMLINK) return false;
  return type === DIRECTORY || name.endsWith("/");
}
