import { type ResourceKey, resourceKey } from "../resource-key.ts";
import { isSha1Hex } from "../sha1.ts";

/** Why a line names no resource. */
class BadLine extends Error {
  override name = "BadLine";
}

/**
 * The resource that a line names: `<sha1> <size>`, or a resource of the API as JSON,
 * `{"checksum":{"value":"<sha1>"},"size_in_bytes":<size>}`.
 *
 * @throws BadLine
 */
export function parseResourceLine(text: string): ResourceKey {
  const { sha1, size } = text.startsWith("{") ? fromJson(text) : fromWords(text);
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
    return parseResourceLine(text).slice(0, 40);
  } catch {
    return undefined;
  }
}

function fromWords(text: string): { sha1: unknown; size: unknown } {
  const [sha1, digits, ...rest] = text.split(/\s+/);
  if (digits === undefined || rest.length > 0) {
    throw new BadLine("it is neither <sha1> <size> nor a JSON object");
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
