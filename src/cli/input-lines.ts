import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Exit, reasonOf } from "./terminal/exit.ts";
import { userDirectory } from "./user-directory.ts";

export interface Line {
  /** From 1. */
  number: number;
  text: string;
}

/** A list that is being read. */
export interface InputLines {
  lines: AsyncGenerator<Line>;
  /** The part of the input that has been read, from 0 to 1; undefined where nobody knows how much there is. */
  partRead(): number | undefined;
  /** How long ago the file was written last, in ms; 0 for stdin and pipes. */
  age: number;
}

/**
 * The lines of a file, or of stdin for `-`, without blank ones and those that begin with `#`.
 *
 * @throws Exit at once if the file can't be opened
 */
export async function inputLines(path: string): Promise<InputLines> {
  if (path === "-") return { lines: lines(process.stdin), partRead: () => undefined, age: 0 };
  const fullPath = resolve(userDirectory(), path);
  const { size, age } = await measure(fullPath, path);
  const stream = createReadStream(fullPath);
  return { lines: lines(stream), partRead: () => (size > 0 ? stream.bytesRead / size : undefined), age };
}

/** @returns `size` in bytes, 0 for a pipe */
async function measure(fullPath: string, path: string): Promise<{ size: number; age: number }> {
  try {
    // Opened twice: a stream would tell only later that it can't be.
    const file = await open(fullPath);
    const stats = await file.stat();
    await file.close();
    if (stats.isDirectory()) throw new Error("it is a directory");
    const age = stats.isFile() ? Math.max(0, Date.now() - stats.mtimeMs) : 0;
    return { size: stats.size, age };
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
}

async function* lines(input: Readable): AsyncGenerator<Line> {
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    const text = line.replace(/^\ufeff/, "").trim();
    if (text !== "" && !text.startsWith("#")) yield { number, text };
  }
}
