import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Exit, reasonOf } from "./terminal/exit.ts";
import { resolveUserPath } from "./user-path.ts";

export interface Line {
  /** From 1. */
  number: number;
  text: string;
}

export interface InputLines {
  lines: AsyncGenerator<Line>;
  /** Estimates the number of items after `read` of them, from the part of the file that was read for these. */
  totalOf?(read: number): number;
  /** Time since the last modification of the file; 0 for stdin and pipes. */
  ageMs: number;
}

/**
 * Yields the lines of a file, or of stdin for `-`, without blank lines and comments.
 *
 * @throws Exit if the file can't be opened, before the first line
 */
export async function inputLines(path: string): Promise<InputLines> {
  if (path === "-") return { lines: readLines(process.stdin), ageMs: 0 };
  try {
    const file = await open(resolveUserPath(path));
    const stats = await file.stat();
    if (stats.isDirectory()) throw new Error("it is a directory");
    const stream = file.createReadStream();
    return {
      lines: readLines(stream),
      totalOf: (read) => (read * stats.size) / stream.bytesRead,
      ageMs: stats.isFile() ? Math.max(0, Date.now() - stats.mtimeMs) : 0,
    };
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
}

async function* readLines(input: Readable): AsyncGenerator<Line> {
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    const text = line.replace(/^\ufeff/, "").trim();
    if (text !== "" && !text.startsWith("#")) yield { number, text };
  }
}
