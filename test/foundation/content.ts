import { createHash } from "node:crypto";
import { type BigIntStats, createReadStream, readFileSync, statSync } from "node:fs";
import type { Readable } from "node:stream";

/** Bytes, or a function that opens a stream of them. It can be called repeatedly. */
export type Content = Buffer | (() => Promise<Readable>);

/** Content with its digest. */
export interface Digested {
  /** SHA-1 in lower-case hex. */
  sha1: string;
  /** Bytes. */
  size: number;
  content: Content;
}

/** Smaller content stays in memory, because opening thousands of small files repeatedly takes seconds. */
const SMALL_MAX_BYTES = 16_384;

/** Content that can be read as a whole or as a stream. */
export interface Source {
  /** Bytes. */
  size: number;
  read(): Promise<Buffer>;
  open(): Promise<Readable>;
}

export async function digestContent({ size, read, open }: Source): Promise<Digested> {
  if (size > SMALL_MAX_BYTES) return { ...(await digestStream(await open())), content: open };
  const content = await read();
  return { sha1: createHash("sha1").update(content).digest("hex"), size: content.length, content };
}

/** Digests of files by inode, change time and size. Tests read directories of thousands of files many times. */
const cachedDigests = new Map<string, Digested>();

/**
 * Digests a file. A file that has not changed since the last call is not read. Small files are read synchronously, which
 * takes a fifth of the CPU.
 *
 * @param stats of the file, if the caller has them
 * @throws Error if the file does not exist
 */
export async function digestFile(path: string, stats?: BigIntStats): Promise<Digested> {
  const { dev, ino, ctimeNs, size } = stats ?? statSync(path, { bigint: true });
  const identity = `${dev}:${ino}:${ctimeNs}:${size}`;
  const cached = cachedDigests.get(identity);
  if (cached) {
    // The cached stream may be of another path with the same inode.
    return Buffer.isBuffer(cached.content) ? cached : { ...cached, content: () => open(path) };
  }
  const digested = await digestContent({
    size: Number(size),
    read: async () => readFileSync(path),
    open: () => open(path),
  });
  cachedDigests.set(identity, digested);
  return digested;
}

async function open(path: string): Promise<Readable> {
  return createReadStream(path);
}

async function digestStream(chunks: AsyncIterable<Buffer>): Promise<{ sha1: string; size: number }> {
  const hash = createHash("sha1");
  let size = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { sha1: hash.digest("hex"), size };
}
