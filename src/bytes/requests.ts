import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { countOf } from "./marks.ts";
import {
  CHUNK_BYTES,
  KEY_BYTES,
  OFFSETS,
  PADDING_BYTES,
  SHA1_BYTES,
  workingMemory,
} from "./working-memory.ts";

/** A span row, as `assembly/layout.ts` defines it: offsets in the body. */
const SPAN_BYTES = 32;
const SHA1 = 0;
const SIZE = 4;
const SIZE_END = 8;
const PATH = 12;
const PATH_END = 16;
const MODE = 20;
const MODE_END = 24;

/** Has room for the longest path and the longest mode. */
const LONG_CHUNK_BYTES = 16 * CHUNK_BYTES;
/** The shortest resource, with its comma. */
const RESOURCE_MIN_BYTES = 84;
/** Rows that are written at a time. Their resources rarely have more bytes than a chunk. */
const WRITTEN_ROWS = 256;
const OPENING = new TextEncoder().encode('{"resources":[');
const CLOSING = new TextEncoder().encode("]}");

/** The result of a scan. */
export interface Scanned {
  /** Resources, candidates or not. */
  count: number;
  /** A key row for each candidate. */
  keys: Uint8Array<ArrayBuffer>;
  /** A span row for each candidate. */
  spans: Uint8Array<ArrayBuffer>;
  /** The SHA-1s of resources whose mode lacks bits, 20 bytes each. */
  excluded: Uint8Array<ArrayBuffer>;
}

/** Which resources are candidates, and which mode bits are required. */
export interface ScanRules {
  minimumSize: number;
  maximumSize: number;
  minimumFileMode: number | undefined;
}

/** Scans the body of a request. Returns undefined if it is not in canonical form, valid or not. */
export function scan(
  body: Uint8Array,
  { minimumSize, maximumSize, minimumFileMode = 0 }: ScanRules,
): Scanned | undefined {
  const rowsMax = Math.min(RESOURCES_PER_REQUEST_MAX, Math.ceil(body.length / RESOURCE_MIN_BYTES));
  const keys = new Uint8Array(KEY_BYTES * rowsMax);
  const spans = new Uint8Array(SPAN_BYTES * rowsMax);
  let excluded = new Uint8Array();
  let [count, candidates, offset, chunkBytes, isEnd] = [0, 0, 0, CHUNK_BYTES, false];
  while (!isEnd) {
    const chunk = body.subarray(offset, offset + chunkBytes);
    const { module, memory } = workingMemory(chunk.length);
    memory.set(chunk, OFFSETS.BODY);
    const room = RESOURCES_PER_REQUEST_MAX - count;
    const read = module.scan(chunk.length, offset, room, minimumSize, maximumSize, minimumFileMode);
    if (read < 0) return undefined;
    if (read === 0) {
      // The chunk ends within its first resource. Only blanks make a resource longer than a long chunk.
      if (offset + chunk.length === body.length || chunkBytes === LONG_CHUNK_BYTES) return undefined;
      chunkBytes = LONG_CHUNK_BYTES;
      continue;
    }
    const [resources = 0, found = 0, lacking = 0, ended] = new Uint32Array(memory.buffer, OFFSETS.COUNTS, 4);
    const table = (start: number, bytes: number) => memory.subarray(start, start + bytes);
    keys.set(table(OFFSETS.KEYS, KEY_BYTES * found), KEY_BYTES * candidates);
    spans.set(table(OFFSETS.SPANS, SPAN_BYTES * found), SPAN_BYTES * candidates);
    if (lacking > 0) excluded = concat(excluded, table(OFFSETS.EXCLUDED, SHA1_BYTES * lacking));
    count += resources;
    candidates += found;
    offset += read;
    chunkBytes = CHUNK_BYTES;
    isEnd = ended === 1;
    if (isEnd !== (offset === body.length)) return undefined;
  }
  return {
    count,
    keys: keys.subarray(0, KEY_BYTES * candidates),
    spans: spans.subarray(0, SPAN_BYTES * candidates),
    excluded,
  };
}

/**
 * Writes the response: the marked candidates, in their order.
 *
 * @param body that `spans` refer to
 * @param marks for each candidate 0, or another number if it is matched
 */
export function writeResponse(
  body: Uint8Array,
  spans: Uint8Array,
  marks: Uint8Array,
): Uint8Array<ArrayBuffer> {
  // A response is never longer than its request.
  const response = new Uint8Array(body.length);
  const rows = new DataView(spans.buffer, spans.byteOffset, spans.length);
  // Each resource is written with a comma before it. The opening overwrites the first comma.
  let length = OPENING.length - 1;
  let count = 0;
  for (let from = 0; from < marks.length; from += count) {
    count = Math.min(WRITTEN_ROWS, marks.length - from);
    const start = resourceStart(rows, from);
    while (count > 1 && resourceEnd(rows, from + count - 1) - start > CHUNK_BYTES) count >>= 1;
    const batch = marks.subarray(from, from + count);
    if (countOf(batch, 0) === count) continue;
    const chunk = body.subarray(start, resourceEnd(rows, from + count - 1));
    const target = OFFSETS.BODY + chunk.length + PADDING_BYTES;
    const { module, memory } = workingMemory(2 * (chunk.length + PADDING_BYTES));
    memory.set(chunk, OFFSETS.BODY);
    memory.set(spans.subarray(SPAN_BYTES * from, SPAN_BYTES * (from + count)), OFFSETS.SPANS);
    memory.set(batch, OFFSETS.MARKS);
    const written = module.write(count, start, target);
    response.set(memory.subarray(target, target + written), length);
    length += written;
  }
  response.set(OPENING);
  length = Math.max(length, OPENING.length);
  response.set(CLOSING, length);
  return response.subarray(0, length + CLOSING.length);
}

/** Where a string of a candidate is in the body, quotes included; undefined if the candidate has none. */
export function spanOf(spans: Uint8Array, index: number, member: "path" | "mode") {
  const rows = new DataView(spans.buffer, spans.byteOffset, spans.length);
  const at = (field: number) => rows.getUint32(SPAN_BYTES * index + field, true);
  const [start, end] = member === "path" ? [at(PATH), at(PATH_END)] : [at(MODE), at(MODE_END)];
  return start === 0 ? undefined : { start, end };
}

/** The offset of the first member of a candidate. */
function resourceStart(rows: DataView, index: number): number {
  const at = (field: number) => rows.getUint32(SPAN_BYTES * index + field, true);
  // The offset of an absent member is 0.
  return Math.min(at(SHA1), at(SIZE), at(PATH) || at(SHA1), at(MODE) || at(SHA1));
}

/** The offset after the last member of a candidate. */
function resourceEnd(rows: DataView, index: number): number {
  const at = (field: number) => rows.getUint32(SPAN_BYTES * index + field, true);
  return Math.max(
    at(SHA1) + 2 * SHA1_BYTES,
    at(SIZE_END),
    at(PATH) && at(PATH_END),
    at(MODE) && at(MODE_END),
  );
}

export function concat(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
