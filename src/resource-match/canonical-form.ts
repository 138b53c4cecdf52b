import { TEXT_MAX_BYTES } from "../bytes/working-memory.ts";
import { Failure } from "../failure.ts";
import { decodeBody } from "../http/body.ts";
import { NON_CANONICAL_MAX_BYTES, NON_CANONICAL_MAX_TOKENS } from "../platform-limits.ts";
import { parseResources, type Resource } from "./resource-schema.ts";

export interface CanonicalRequest {
  /** Resources whose checksum is hex. */
  count: number;
  /** JSON text of the resources that are not too long. */
  text: Uint8Array;
  /** Checksums of resources with a path or mode that is too long to match. */
  tooLong: string[];
}

const COMMA = 0x2c;
const OPENING_BRACKET = 0x5b;
const OPENING_BRACE = 0x7b;
/** JSON.parse may have rounded a number from here on. No file is that large. */
const ROUNDED = 2 ** 53;

/**
 * The slow path: parses a request with JSON.parse and the schema, and writes it in canonical form.
 *
 * @returns a failure if the body is too large for JSON.parse, is not JSON, or violates the schema
 */
export function toCanonicalForm(body: Uint8Array): CanonicalRequest | Failure {
  if (isTooLarge(body)) {
    return new Failure({ kind: "non-canonical-body-too-large", reason: `${body.length} bytes` });
  }
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (resources instanceof Failure) return resources;
  const tooLong = new Set(resources.filter(isTooLong));
  const others = resources.filter((resource) => !tooLong.has(resource));
  return {
    count: resources.length,
    text: new TextEncoder().encode(canonicalText(others)),
    tooLong: [...tooLong].map(({ checksum }) => checksum.value),
  };
}

/** Whether the objects that JSON.parse creates could take too much of an isolate's memory. */
function isTooLarge(body: Uint8Array): boolean {
  if (body.length > NON_CANONICAL_MAX_BYTES) return true;
  if (body.length <= NON_CANONICAL_MAX_TOKENS) return false;
  let tokens = 0;
  for (const byte of body) {
    if (byte === COMMA || byte === OPENING_BRACKET || byte === OPENING_BRACE) tokens += 1;
  }
  return tokens > NON_CANONICAL_MAX_TOKENS;
}

/** Whether a path or mode, as JSON.stringify writes it, is longer than any that matches. */
function isTooLong({ path, mode }: Resource): boolean {
  return [path, mode].some((text) => {
    // A character takes at most six bytes. This rules out nearly all texts without encoding them.
    if (typeof text !== "string" || 6 * text.length + 2 <= TEXT_MAX_BYTES) return false;
    return new TextEncoder().encode(JSON.stringify(text)).length > TEXT_MAX_BYTES;
  });
}

function canonicalText(resources: readonly Resource[]): string {
  const texts = resources.map(({ checksum, size_in_bytes, path, mode }) => {
    const pathText = typeof path === "string" ? `"path":${JSON.stringify(path)},` : "";
    const modeText = typeof mode === "string" ? `,"mode":"${mode}"` : "";
    const size = Math.min(size_in_bytes, ROUNDED);
    return `{${pathText}"checksum":{"value":"${checksum.value}"},"size_in_bytes":${size}${modeText}}`;
  });
  return `{"resources":[${texts.join(",")}]}`;
}
