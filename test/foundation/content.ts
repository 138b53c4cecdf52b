import { createHash } from "node:crypto";
import { type BigIntStats, createReadStream, readFileSync, statSync } from "node:fs";
import type { Readable } from "node:stream";

/** Bytes, or how to get at them; to be opened as often as is wanted. */
export type Content = Buffer | (() => Promise<Readable>);

/** What has been read once, to learn its digest. */
export interface Digested {
  /** SHA-1 in lower-case hex. */
  sha1: string;
  /** Bytes. */
  size: number;
  content: Content;
}

/** Up to here it stays in memory: opening thousands of small files again and again takes seconds. */
const SMALL_MAX_BYTES = 16_384;

/** What can be read at once or in pieces. */
export interface Source {
  /** Bytes. */
  size: number;
  read(): Promise<Buffer>;
  open(): Promise<Readable>;
}

export async function digestContent({ size, read, open }: Source): Promise<Digested> {
  if (size > SMALL_MAX_BYTES) return { ...(await digestOf(await open())), content: open };
  const content = await read();
  return { sha1: createHash("sha1").update(content).digest("hex"), size: content.length, content };
}

/** What has been read, by what changes with any change of a file: directories of thousands are read many times. */
const known = new Map<string, Digested>();

/**
 * What a file holds; one that has not changed is not read again. Files are looked at synchronously, which takes a fifth
 * of the CPU, for it is done to thousands.
 *
 * @param stats of the file, where they are at hand
 * @throws where there is none
 */
export async function digestFile(path: string, stats?: BigIntStats): Promise<Digested> {
  const { dev, ino, ctimeNs, size } = stats ?? statSync(path, { bigint: true });
  const identity = `${dev}:${ino}:${ctimeNs}:${size}`;
  const before = known.get(identity);
  if (before)
    return { ...before, content: Buffer.isBuffer(before.content) ? before.content : () => open(path) };
  const digested = await digestContent({
    size: Number(size),
    read: async () => readFileSync(path),
    open: () => open(path),
  });
  known.set(identity, digested);
  return digested;
}

async function open(path: string): Promise<Readable> {
  return createReadStream(path);
}

async function digestOf(chunks: AsyncIterable<Buffer>): Promise<{ sha1: string; size: number }> {
  const hash = createHash("sha1");
  let size = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { sha1: hash.digest("hex"), size };
}
