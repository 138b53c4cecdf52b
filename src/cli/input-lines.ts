import { open } from "node:fs/promises";
import { TextDecoder } from "node:util";
import { formatCount, formatNumber } from "../format.ts";
import { Exit, reasonOf } from "./terminal/exit.ts";
import { note } from "./terminal/output.ts";
import { resolveUserPath } from "./user-path.ts";

/** Lines are kept in memory up to this length. The longest valid ones have a path, of at most 4,096 bytes on Linux. */
const LINE_CHARACTERS_MAX = 65_536;
const EXCERPT_CHARACTERS = 40;

/** The first bytes of compressed files, in hex. */
const COMPRESSED: readonly (readonly [format: string, start: string])[] = [
  ["gzip", "1f8b"],
  ["zip", "504b0304"],
  ["zstd", "28b52ffd"],
  ["xz", "fd377a585a00"],
  ["bzip2", "425a68"],
];
const COMPRESSED_START_BYTES = 6;

export interface Line {
  /** From 1. */
  number: number;
  text: string;
  /** Why the line is invalid, if it can't be parsed at all. */
  problem?: string;
}

export interface InputLines {
  lines: AsyncGenerator<Line>;
  /** Estimates the number of items after `read` of them, from the part of the file that was read for these. */
  totalOf?(read: number): number;
  /** Time since the last modification of the file; 0 for stdin and pipes. */
  ageMs: number;
}

/** Lines that name no resource. Counted while a list is read. */
export interface LineCounts {
  /** Paths that are not blobs of a resource pool, and output on stderr. */
  skipped: number;
  /** Each is printed with its number. */
  invalid: number;
}

/**
 * Yields the lines of a file, or of stdin for `-`, without blank lines and comments. The text is UTF-8 or UTF-16, with or
 * without a byte order mark. Lines end with LF, CR LF or CR.
 *
 * @throws Exit if the file can't be opened, before the first line
 */
export async function inputLines(path: string): Promise<InputLines> {
  if (path === "-") return { lines: readLines(process.stdin, "stdin"), ageMs: 0 };
  try {
    const file = await open(resolveUserPath(path));
    const stats = await file.stat();
    if (stats.isDirectory()) throw new Error("it is a directory");
    const stream = file.createReadStream();
    return {
      lines: readLines(stream, path),
      totalOf: (read) => (read * stats.size) / stream.bytesRead,
      ageMs: stats.isFile() ? Math.max(0, Date.now() - stats.mtimeMs) : 0,
    };
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
}

/**
 * Yields what the lines name. Prints the invalid ones, and goes on.
 *
 * @param parse returns undefined for lines to skip, and throws for invalid ones. An Exit ends the command
 */
export async function* parseLines<T>(
  lines: AsyncIterable<Line>,
  parse: (text: string) => T | undefined,
  counts: LineCounts,
): AsyncGenerator<T> {
  for await (const { number, text, problem } of lines) {
    let item: T | undefined;
    try {
      if (problem !== undefined) throw new Error(problem);
      item = parse(text);
    } catch (error) {
      if (error instanceof Exit) throw error;
      counts.invalid += 1;
      note(`Line ${number} is invalid: ${reasonOf(error)}`);
      continue;
    }
    if (item === undefined) counts.skipped += 1;
    else yield item;
  }
}

/** @param counts of the whole list */
export function noResourceIn(path: string, { skipped, invalid }: LineCounts): Exit {
  const name = path === "-" ? "stdin" : path;
  if (skipped + invalid === 0) return new Exit("incomplete", `${name} has no lines.`);
  return new Exit(
    "incomplete",
    `No resource found in ${name}, among ${formatCount(skipped + invalid, "line")}. ` +
      "Expected lines like `<sha1> <size>` or `<size> <anything>/app_bits_cache/ab/cd/<sha1>`: see `import --help`.",
  );
}

/**
 * @param name of the input, for error messages
 * @throws Exit if the input can't be read, or is compressed
 */
export async function* readLines(input: AsyncIterable<Buffer>, name: string): AsyncGenerator<Line> {
  let number = 0;
  try {
    for await (const { start, length } of splitLines(decode(input))) {
      number += 1;
      const text = start.trim();
      if (text.startsWith("#")) continue;
      const problem = problemOf(text, length);
      if (problem !== undefined) yield { number, text, problem };
      else if (text !== "") yield { number, text };
    }
  } catch (error) {
    throw new Exit("failed", `Can't read ${name}: ${reasonOf(error)}`);
  }
}

function problemOf(text: string, length: number): string | undefined {
  if (text.includes("\0")) return "it contains a NUL character. Is the file damaged, or no text?";
  if (length > LINE_CHARACTERS_MAX) {
    const [count, max] = [formatCount(length, "character"), formatNumber(LINE_CHARACTERS_MAX)];
    return `it has ${count}, more than ${max}: ${text.slice(0, EXCERPT_CHARACTERS)}…`;
  }
  return undefined;
}

/** Yields the text of UTF-8 or UTF-16. @throws Error if it is compressed */
async function* decode(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let start = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (decoder !== undefined) {
      yield decoder.decode(chunk, { stream: true });
      continue;
    }
    start = Buffer.concat([start, chunk]);
    if (start.length < COMPRESSED_START_BYTES) continue;
    decoder = new TextDecoder(encodingOf(start));
    yield decoder.decode(start, { stream: true });
  }
  yield decoder === undefined ? new TextDecoder(encodingOf(start)).decode(start) : decoder.decode();
}

/** @param start the first bytes of the file */
function encodingOf(start: Buffer): string {
  const hex = start.toString("hex", 0, COMPRESSED_START_BYTES);
  const [format] = COMPRESSED.find(([, start]) => hex.startsWith(start)) ?? [];
  if (format !== undefined) throw new Error(`it is compressed with ${format}. Unpack it first.`);
  // A byte order mark, or two ASCII characters.
  if (/^(fffe|(?!00)..00(?!00)..00)/.test(hex)) return "utf-16le";
  if (/^(feff|00(?!00)..00(?!00)..)/.test(hex)) return "utf-16be";
  return "utf-8";
}

/** Yields each line's length, and its start: the whole line if it is not too long. */
async function* splitLines(texts: AsyncIterable<string>): AsyncGenerator<{ start: string; length: number }> {
  let line = { start: "", length: 0 };
  const append = (text: string) => {
    line.length += text.length;
    if (line.start.length <= LINE_CHARACTERS_MAX) line.start += text.slice(0, LINE_CHARACTERS_MAX + 1);
  };
  let isAfterReturn = false;
  for await (const text of texts) {
    if (text === "") continue;
    // CR LF may be split.
    const [first = "", ...others] = text
      .slice(isAfterReturn && text.startsWith("\n") ? 1 : 0)
      .split(/\r\n|\r|\n/);
    isAfterReturn = text.endsWith("\r");
    append(first);
    for (const other of others) {
      yield line;
      line = { start: "", length: 0 };
      append(other);
    }
  }
  if (line.length > 0) yield line;
}
