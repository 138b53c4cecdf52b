import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import * as yauzl from "yauzl";

const LOCAL_FILE_HEADER = Buffer.from("PK\x03\x04");
const END_OF_CENTRAL_DIRECTORY = Buffer.from("PK\x05\x06");

/**
 * Opens a zip archive. An executable jar may begin with a shell script. The caller closes it.
 *
 * @throws if it is not a zip archive
 */
export async function openZip(path: string): Promise<yauzl.ZipFile> {
  const start = await startOfArchive(path);
  if (start === 0 || (await hasOffsetsOfFile(path))) return yauzl.openPromise(path, { autoClose: false });
  const { size } = await stat(path);
  const reader = new RangeReader(path, start);
  return yauzl.fromRandomAccessReaderPromise(reader, size - start, { autoClose: false });
}

/** @returns offset in bytes; 0 also if there is no archive */
async function startOfArchive(path: string): Promise<number> {
  let offset = 0;
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path)) {
    const window = Buffer.concat([rest, chunk]);
    if (offset === 0 && window.indexOf(END_OF_CENTRAL_DIRECTORY) === 0) return 0;
    const found = window.indexOf(LOCAL_FILE_HEADER);
    if (found >= 0) return offset + found;
    rest = window.subarray(-LOCAL_FILE_HEADER.length + 1);
    offset += window.length - rest.length;
  }
  return 0;
}

/** Whether the offsets in the archive count from the start of the file: this depends on the tool that wrote it. */
async function hasOffsetsOfFile(path: string): Promise<boolean> {
  const zip = await yauzl.openPromise(path, { autoClose: false });
  try {
    const first = await zip.eachEntry().next();
    if (!first.done) await zip.readLocalFileHeaderPromise(first.value);
    return true;
  } catch {
    return false;
  } finally {
    zip.close();
  }
}

class RangeReader extends yauzl.RandomAccessReader {
  readonly #path: string;
  readonly #start: number;

  constructor(path: string, start: number) {
    super();
    this.#path = path;
    this.#start = start;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return createReadStream(this.#path, { start: this.#start + start, end: this.#start + end - 1 });
  }
}
