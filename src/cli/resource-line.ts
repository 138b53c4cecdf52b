import { parseBlobName } from "../resources/blob-name.ts";
import { type ResourceKey, resourceKey } from "../resources/resource-key.ts";
import { isSha1Hex } from "../resources/sha1.ts";

/** Why a line names no resource. */
class BadLine extends Error {
  override name = "BadLine";
}

/** What `bosh ssh` puts before each line of a command's output: `<instance group>/<id>: stdout | `. */
const BOSH_SSH = /^[\w.-]+\/[\w-]+: (stdout|stderr) \| ?/;
const SIZE_AND_PATH = /^(\d+)\s+(\S*\/.*)$/;
const PATH_AND_SIZE = /^(\S*\/.*)\s(\d+)$/;

/**
 * The resource that a line names: `<sha1> <size>`, `<size> <path of a blob>`, `<path of a blob> <size>`, or a resource
 * of the API as JSON, `{"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}`; each also as `bosh ssh` prints it.
 *
 * @param sha1OfBlob the SHA-1 of a blob of the resource pool, by its path
 * @returns undefined for the path of something that is no blob of the resource pool, and for what came from stderr
 * @throws BadLine
 */
export function parseResourceLine(
  line: string,
  sha1OfBlob: (path: string) => string | undefined = (path) => parseBlobName(path)?.sha1,
): ResourceKey | undefined {
  const [prefix = "", stream] = BOSH_SSH.exec(line) ?? [];
  const text = line.slice(prefix.length).trim();
  if (stream === "stderr" || (stream !== undefined && text === "")) return undefined;
  const blob = blobOf(text);
  const blobSha1 = blob && sha1OfBlob(blob.path);
  if (blob && blobSha1 === undefined) return undefined;

  const { sha1, size } = blob
    ? { sha1: blobSha1, size: Number(blob.size) }
    : text.startsWith("{")
      ? fromJson(text)
      : fromWords(text);
  if (typeof sha1 !== "string") throw new BadLine("there is no checksum");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new BadLine("the size is no whole number of bytes");
  }
  const key = resourceKey(sha1, size);
  if (key === undefined) throw new BadLine(`the checksum is no SHA-1 of 40 hex digits: ${sha1.slice(0, 60)}`);
  return key;
}

/** The SHA-1 that a line names, with a size or without; undefined where it names none. */
export function parseSha1Line(text: string): string | undefined {
  if (isSha1Hex(text)) return text;
  try {
    return parseResourceLine(text)?.slice(0, 40);
  } catch {
    return undefined;
  }
}

function blobOf(text: string): { path: string; size: string } | undefined {
  const [, size, path] = SIZE_AND_PATH.exec(text) ?? [];
  if (size !== undefined && path !== undefined) return { path, size };
  const [, otherPath, otherSize] = PATH_AND_SIZE.exec(text) ?? [];
  return otherPath !== undefined && otherSize !== undefined
    ? { path: otherPath.trimEnd(), size: otherSize }
    : undefined;
}

function fromWords(text: string): { sha1: unknown; size: unknown } {
  const [sha1, digits, ...rest] = text.split(/\s+/);
  if (digits === undefined || rest.length > 0) {
    throw new BadLine("it is neither <sha1> <size>, <size> <path> nor a JSON object");
  }
  return { sha1, size: /^\d+$/.test(digits) ? Number(digits) : undefined };
}

function fromJson(text: string): { sha1: unknown; size: unknown } {
  try {
    const { checksum, size_in_bytes: size } = JSON.parse(text);
    return { sha1: checksum?.value, size };
  } catch {
    throw new BadLine("it is no valid JSON");
  }
}
