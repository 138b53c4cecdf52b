import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
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

/** @param size that of the file, in bytes */
export function digestFile(path: string, size: number): Promise<Digested> {
  return digestContent({ size, read: () => readFile(path), open: async () => createReadStream(path) });
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
