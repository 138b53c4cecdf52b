import { constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { crc32, createInflateRaw, inflateRawSync } from "node:zlib";
import { reasonOf } from "../terminal/exit.ts";

const LOCAL_HEADER = { signature: 0x04034b50, bytes: 30 };
const DIRECTORY_HEADER = { signature: 0x02014b50, bytes: 46 };
const DIRECTORY_END = { signature: 0x06054b50, bytes: 22 };
const ZIP64_LOCATOR = { signature: 0x07064b50, bytes: 20 };
const ZIP64_DIRECTORY_END = { signature: 0x06064b50, bytes: 56 };
/** The signature is optional; `bytes` are those after it that the smaller form has. */
const DATA_DESCRIPTOR = { signature: 0x08074b50, bytes: 12 };

const LOCAL_SIGNATURE = Buffer.from("PK\x03\x04");
/** The directory's end is searched for in the last 1 KiB, then in the last 65 KiB. */
const SEARCHED_BYTES = [1_024, 65 * 1_024];
const CHUNK_BYTES = 64 * 1_024;
/** A stream for each of thousands of small files takes several times as long. */
const SMALL_MAX_BYTES = 1_024 * 1_024;

const STORED = 0;
const DEFLATED = 8;
const IS_ENCRYPTED = 1;
const HAS_DATA_DESCRIPTOR = 8;
const ZIP64_FIELD = 1;
const UINT16_MAX = 0xffff;
const UINT32_MAX = 0xffff_ffff;

/** Systems of `externalAttributes`, by their numbers in the format: Unix and macOS; FAT, NTFS and VFAT. */
const UNIX_SYSTEMS = [3, 19];
const DOS_SYSTEMS = [0, 11, 14];
const DOS_DIRECTORY = 0x10;

export interface ZipEntry {
  /** Not validated: it may be absolute, lead out of the archive, and be there twice. Bytes that are not UTF-8 are U+FFFD. */
  path: string;
  isDirectory: boolean;
  /** A mode of stat(2); 0 if the archive was written on another system. */
  unixMode: number;
  /** Bytes of the content. */
  size: number;
  compressedSize: number;
  crc32: number;
  method: number;
  flags: number;
  headerOffset: number;
}

/**
 * Reads zip archives as cf CLI does, which uses code.cloudfoundry.org/ykk and Go's archive/zip. Both accept more than zip
 * libraries usually do: any name, bytes before and after the archive, and more entries than the archive declares.
 */
export class ZipArchive {
  readonly #file: FileHandle;
  /** Where the archive begins in the file: an executable jar begins with a shell script. */
  readonly #start: number;
  /** Where the archive ends, if it begins at `#start`. Like ykk, counts the bytes before that too. */
  readonly #end: number;

  private constructor(file: FileHandle, start: number, end: number) {
    this.#file = file;
    this.#start = start;
    this.#end = end;
  }

  /** The caller closes it. @throws if the file has no entry */
  static async open(path: string): Promise<ZipArchive> {
    const start = await findFirstEntry(path);
    if (start === undefined) throw new Error("it is no zip archive, or has no entries");
    const file = await open(path);
    return new ZipArchive(file, start, (await file.stat()).size);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Yields the entries in the archive's order. @throws if the list of entries is damaged */
  async *entries(): AsyncGenerator<ZipEntry> {
    const { offset, baseOffset, records } = await this.#readDirectoryEnd();
    let count = 0;
    let unread = Buffer.alloc(0);
    let position = baseOffset + offset;
    const fill = async (bytes: number) => {
      while (unread.length < bytes) {
        const chunk = await this.#readAt(position, Math.max(CHUNK_BYTES, bytes));
        if (chunk.length === 0) return false;
        unread = Buffer.concat([unread, chunk]);
        position += chunk.length;
      }
      return true;
    };
    while (await fill(DIRECTORY_HEADER.bytes)) {
      const bytes = directoryHeaderBytes(unread);
      if (bytes === undefined || !(await fill(bytes))) break;
      yield parseDirectoryHeader(unread.subarray(0, bytes), baseOffset);
      unread = unread.subarray(bytes);
      count += 1;
    }
    // The format stores the number in 16 bits; not all programs that write more entries use zip64.
    if (count % 2 ** 16 !== records % 2 ** 16) {
      throw new Error("it is damaged: its list of entries is incomplete");
    }
  }

  /** Yields the content. @throws if the entry is damaged, or if cf CLI can't read it either; the message names it */
  async *read(entry: ZipEntry): AsyncGenerator<Buffer> {
    try {
      yield* this.#readVerified(entry);
    } catch (error) {
      const isEncrypted = (entry.flags & IS_ENCRYPTED) !== 0;
      throw new Error(
        `the entry ${entry.path} ${isEncrypted ? "is encrypted" : `can't be read: ${reasonOf(error)}`}`,
      );
    }
  }

  async *#readVerified(entry: ZipEntry): AsyncGenerator<Buffer> {
    const header = await this.#readAt(entry.headerOffset, LOCAL_HEADER.bytes);
    if (header.length < LOCAL_HEADER.bytes || header.readUInt32LE(0) !== LOCAL_HEADER.signature) {
      throw new Error("it has no header");
    }
    const variableBytes = header.readUInt16LE(26) + header.readUInt16LE(28);
    const start = entry.headerOffset + LOCAL_HEADER.bytes + variableBytes;
    const compressed = this.#readChunks(start, entry.compressedSize);
    let size = 0;
    let checksum = 0;
    for await (const chunk of decompress(compressed, entry)) {
      size += chunk.length;
      if (size > entry.size) break;
      checksum = crc32(chunk, checksum);
      yield chunk;
    }
    if (size !== entry.size) throw new Error("its size is wrong");
    const hasDescriptor = (entry.flags & HAS_DATA_DESCRIPTOR) !== 0;
    if (hasDescriptor) await this.#checkDescriptor(start + entry.compressedSize, entry);
    // Without a descriptor, 0 means that there is no checksum.
    if ((hasDescriptor || entry.crc32 !== 0) && checksum !== entry.crc32) {
      throw new Error("its checksum is wrong");
    }
  }

  async #checkDescriptor(offset: number, entry: ZipEntry): Promise<void> {
    const block = await this.#readAt(offset, 4 + DATA_DESCRIPTOR.bytes);
    const hasSignature = block.length >= 4 && block.readUInt32LE(0) === DATA_DESCRIPTOR.signature;
    const descriptor = hasSignature ? block.subarray(4) : block;
    if (descriptor.length < DATA_DESCRIPTOR.bytes || descriptor.readUInt32LE(0) !== entry.crc32) {
      throw new Error("its data descriptor is wrong");
    }
  }

  async #readDirectoryEnd(): Promise<DirectoryEnd> {
    for (const searched of SEARCHED_BYTES) {
      const length = Math.min(searched, this.#end);
      // Bytes after the end of the file count as 0.
      const block = Buffer.alloc(length);
      (await this.#readAt(this.#end - length, length)).copy(block);
      const index = findDirectoryEnd(block);
      if (index !== undefined) {
        return this.#parseDirectoryEnd(block.subarray(index), this.#end - length + index);
      }
    }
    throw new Error(
      "its list of entries is missing. It is truncated, or has more than 65 KB of other bytes before or after the archive. " +
        "cf push can't read it",
    );
  }

  async #parseDirectoryEnd(block: Buffer, position: number): Promise<DirectoryEnd> {
    let records = block.readUInt16LE(10);
    let size = block.readUInt32LE(12);
    let offset = block.readUInt32LE(16);
    let end = position;
    if (records === UINT16_MAX || size === UINT16_MAX || offset === UINT32_MAX) {
      const zip64 = await this.#findZip64DirectoryEnd(position);
      if (zip64 !== undefined) {
        const block64 = await this.#readAt(zip64, ZIP64_DIRECTORY_END.bytes);
        if (
          block64.length < ZIP64_DIRECTORY_END.bytes ||
          block64.readUInt32LE(0) !== ZIP64_DIRECTORY_END.signature
        ) {
          throw new Error("it is damaged: its zip64 list of entries is missing");
        }
        end = zip64;
        records = Number(block64.readBigUInt64LE(32));
        size = Number(block64.readBigUInt64LE(40));
        offset = Number(block64.readBigUInt64LE(48));
      }
    }
    const baseOffset = end - size - offset;
    if (baseOffset + offset < 0 || baseOffset + offset >= this.#end) {
      throw new Error("it is damaged: its list of entries is missing");
    }
    const isRelativeToStart = baseOffset > 0 && (await this.#isDirectoryHeader(offset));
    return { records, offset, baseOffset: isRelativeToStart ? 0 : baseOffset };
  }

  async #findZip64DirectoryEnd(directoryEnd: number): Promise<number | undefined> {
    const locator = await this.#readAt(directoryEnd - ZIP64_LOCATOR.bytes, ZIP64_LOCATOR.bytes);
    const isLocator =
      locator.length === ZIP64_LOCATOR.bytes &&
      locator.readUInt32LE(0) === ZIP64_LOCATOR.signature &&
      locator.readUInt32LE(4) === 0 &&
      locator.readUInt32LE(16) === 1;
    return isLocator ? Number(locator.readBigUInt64LE(8)) : undefined;
  }

  async #isDirectoryHeader(offset: number): Promise<boolean> {
    const header = await this.#readAt(offset, DIRECTORY_HEADER.bytes);
    return header.length === DIRECTORY_HEADER.bytes && directoryHeaderBytes(header) !== undefined;
  }

  /** @returns fewer bytes at the end of the file. @param offset from the start of the archive */
  async #readAt(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || offset >= this.#end) return Buffer.alloc(0);
    const { buffer, bytesRead } = await this.#file.read(
      Buffer.alloc(length),
      0,
      length,
      this.#start + offset,
    );
    return buffer.subarray(0, bytesRead);
  }

  async *#readChunks(offset: number, length: number): AsyncGenerator<Buffer> {
    for (let done = 0; done < length; ) {
      const chunk = await this.#readAt(offset + done, Math.min(CHUNK_BYTES, length - done));
      if (chunk.length === 0) return;
      yield chunk;
      done += chunk.length;
    }
  }
}

interface DirectoryEnd {
  /** Number of entries. */
  records: number;
  offset: number;
  /** Added to `offset` and to the offset of each entry. */
  baseOffset: number;
}

/** @returns the offset of the first local header in bytes */
async function findFirstEntry(path: string): Promise<number | undefined> {
  let offset = 0;
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path)) {
    const window = Buffer.concat([rest, chunk]);
    const found = window.indexOf(LOCAL_SIGNATURE);
    if (found >= 0) return offset + found;
    rest = window.subarray(-LOCAL_SIGNATURE.length + 1);
    offset += window.length - rest.length;
  }
  return undefined;
}

/** The last end of a directory in the block, unless the block ends before its comment does. */
function findDirectoryEnd(block: Buffer): number | undefined {
  for (let index = block.length - DIRECTORY_END.bytes; index >= 0; index--) {
    if (block.readUInt32LE(index) !== DIRECTORY_END.signature) continue;
    const end = index + DIRECTORY_END.bytes + block.readUInt16LE(index + 20);
    return end <= block.length ? index : undefined;
  }
  return undefined;
}

/** @returns the size of a header with its variable fields; undefined if this is no header */
function directoryHeaderBytes(buffer: Buffer): number | undefined {
  if (buffer.readUInt32LE(0) !== DIRECTORY_HEADER.signature) return undefined;
  return DIRECTORY_HEADER.bytes + buffer.readUInt16LE(28) + buffer.readUInt16LE(30) + buffer.readUInt16LE(32);
}

function parseDirectoryHeader(header: Buffer, baseOffset: number): ZipEntry {
  const system = header.readUInt8(5);
  const attributes = header.readUInt32LE(38);
  const nameEnd = DIRECTORY_HEADER.bytes + header.readUInt16LE(28);
  const path = header.toString("utf8", DIRECTORY_HEADER.bytes, nameEnd);
  const unixMode = UNIX_SYSTEMS.includes(system) ? attributes >>> 16 : 0;
  const isDosDirectory = DOS_SYSTEMS.includes(system) && (attributes & DOS_DIRECTORY) !== 0;
  const isUnixDirectory = (unixMode & constants.S_IFMT) === constants.S_IFDIR;

  const [size, compressedSize, offset] = readZip64Values(
    [header.readUInt32LE(24), header.readUInt32LE(20), header.readUInt32LE(42)],
    header.subarray(nameEnd, nameEnd + header.readUInt16LE(30)),
  );
  return {
    path,
    isDirectory: path.endsWith("/") || isUnixDirectory || isDosDirectory,
    unixMode,
    size,
    compressedSize,
    crc32: header.readUInt32LE(16),
    method: header.readUInt16LE(10),
    flags: header.readUInt16LE(8),
    headerOffset: baseOffset + offset,
  };
}

/** Replaces each value that is too large for 32 bits by the next one of the zip64 field. */
function readZip64Values(values: [number, number, number], extra: Buffer): [number, number, number] {
  let field = extra;
  while (field.length >= 4) {
    const end = 4 + field.readUInt16LE(2);
    if (end > field.length) break;
    if (field.readUInt16LE(0) === ZIP64_FIELD) {
      let position = 4;
      return values.map((value) => {
        if (value !== UINT32_MAX || position + 8 > end) return value;
        position += 8;
        return Number(field.readBigUInt64LE(position - 8));
      }) as [number, number, number];
    }
    field = field.subarray(end);
  }
  return values;
}

async function* decompress(
  chunks: AsyncGenerator<Buffer>,
  { method, size, compressedSize }: ZipEntry,
): AsyncGenerator<Buffer> {
  if (method === STORED) return yield* chunks;
  if (method !== DEFLATED) throw new Error(`cf push can't read the compression method ${method}`);
  if (Math.max(size, compressedSize) <= SMALL_MAX_BYTES) {
    const compressed = await buffer(chunks);
    yield inflateRawSync(compressed, { maxOutputLength: SMALL_MAX_BYTES });
    return;
  }
  const inflate = createInflateRaw();
  // An error of `chunks` destroys `inflate`, which then throws it.
  pipeline(Readable.from(chunks), inflate, () => {});
  yield* inflate;
}
