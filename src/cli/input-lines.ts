import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Exit, reasonOf } from "./exit.ts";
import { userDirectory } from "./user-directory.ts";

export interface Line {
  /** From 1. */
  number: number;
  text: string;
}

/**
 * The lines of a file, or of stdin for `-`, without blank ones and those that begin with `#`.
 *
 * @throws Exit at once if the file can't be opened
 */
export async function inputLines(path: string): Promise<AsyncGenerator<Line>> {
  return lines(path === "-" ? process.stdin : await openFile(path));
}

async function openFile(path: string): Promise<Readable> {
  const fullPath = resolve(userDirectory(), path);
  try {
    // Opened twice: a stream would tell only later that it can't be.
    await (await open(fullPath)).close();
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
  return createReadStream(fullPath);
}

async function* lines(input: Readable): AsyncGenerator<Line> {
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    const text = line.replace(/^\ufeff/, "").trim();
    if (text !== "" && !text.startsWith("#")) yield { number, text };
  }
}
