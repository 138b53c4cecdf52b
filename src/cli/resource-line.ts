import { parseBlobName } from "../resources/blob-name.ts";
import { type ResourceKey, resourceKey } from "../resources/resource-key.ts";
import { isSha1Hex } from "../resources/sha1.ts";

/** Prefix of `bosh ssh` before each line of output: `<instance group>/<id>: stdout | `. */
const BOSH_SSH = /^[\w.-]+\/[\w-]+: (stdout|stderr) \| ?/;
const SIZE_AND_PATH = /^(?:(\d+)\s+(\S*\/.*)|(\S*\/.*)\s(\d+))$/;

/**
 * Parses a line that names a resource: `<sha1> <size>`, `<size> <path of a blob>`, `<path of a blob> <size>`, or a
 * resource of the API as JSON, `{"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}`. Each may have the prefix of
 * `bosh ssh`.
 *
 * @param sha1OfBlob returns the SHA-1 of a blob of the resource pool by its path
 * @returns undefined for a path that is not a blob of the resource pool, and for output on stderr
 * @throws if the line is invalid
 */
export function parseResourceLine(
  line: string,
  sha1OfBlob: (path: string) => string | undefined = (path) => parseBlobName(path)?.sha1,
): ResourceKey | undefined {
  const [prefix = "", stream] = BOSH_SSH.exec(line) ?? [];
  const text = line.slice(prefix.length).trim();
  if (stream === "stderr" || (stream !== undefined && text === "")) return undefined;
  const [, size, lastPath, firstPath, lastSize] = SIZE_AND_PATH.exec(text) ?? [];
  const path = lastPath ?? firstPath?.trimEnd();
  if (path === undefined) return checkKey(text.startsWith("{") ? parseJson(text) : parseWords(text));
  const sha1 = sha1OfBlob(path);
  return sha1 === undefined ? undefined : checkKey({ sha1, size: Number(size ?? lastSize) });
}

/**
 * Parses a line that names a SHA-1, with or without a size.
 *
 * @returns undefined for the lines for which `parseResourceLine` returns it
 * @throws if the line is invalid
 */
export function parseSha1Line(text: string): string | undefined {
  if (isSha1Hex(text)) return text;
  try {
    return parseResourceLine(text)?.slice(0, 40);
  } catch {
    throw new Error("it does not begin with a SHA-1 of 40 hex digits");
  }
}

function checkKey({ sha1, size }: { sha1: unknown; size: unknown }): ResourceKey {
  if (typeof sha1 !== "string") throw new Error("it has no checksum");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new Error("the size is not a whole number of bytes");
  }
  const key = resourceKey(sha1, size);
  if (key) return key;
  throw new Error(`the checksum is not a SHA-1 of 40 hex digits: ${sha1.slice(0, 60)}`);
}

function parseWords(text: string): { sha1: unknown; size: unknown } {
  const [sha1, digits, ...rest] = text.split(/\s+/);
  if (digits === undefined || rest.length > 0) {
    throw new Error("it is neither <sha1> <size>, <size> <path> nor a JSON object");
  }
  return { sha1, size: /^\d+$/.test(digits) ? Number(digits) : undefined };
}

function parseJson(text: string): { sha1: unknown; size: unknown } {
  try {
    const { checksum, size_in_bytes: size } = JSON.parse(text);
    return { sha1: checksum?.value, size };
  } catch {
    throw new Error("it is not valid JSON");
  }
}
