/** Scans a request in canonical form, as docs/api.md defines it. All else is left to JSON.parse, valid or not. */
import { at, begin, moveTo, skipBlanks, take } from "./cursor";
import {
  BODY,
  COUNTS,
  EXCLUDED,
  KEY_BYTES,
  KEY_PERMISSIONS,
  KEY_SIZE,
  KEYS,
  PADDING_BYTES,
  ROWS_MAX,
  SHA1_BYTES,
  SPAN_BYTES,
  SPANS,
} from "./layout";
import { readResource } from "./resource";

/** No continuation of the chunk is in canonical form. */
const NOT_CANONICAL: i32 = -1;

/**
 * Scans the complete resources in a chunk of a body. Writes a key row and a span row for each candidate, in their order, and
 * the SHA-1 of each resource whose mode lacks a bit.
 *
 * @param length bytes of the chunk
 * @param offset of the chunk in the body: 0, or before a resource
 * @param room how many resources the chunk may have
 * @param minimumSize bytes: a resource from minimumSize to maximumSize is a candidate
 * @returns how many bytes were scanned, up to the next resource or the end; 0 if the first resource is incomplete;
 *   NOT_CANONICAL
 */
export function scan(
  length: i32,
  offset: u32,
  room: i32,
  minimumSize: f64,
  maximumSize: f64,
  modeBits: u32,
): i32 {
  const end = BODY + <usize>length;
  // The memory has the rest of an earlier chunk.
  memory.fill(end, 0, PADDING_BYTES);
  begin(BODY, BODY - <usize>offset);
  let count = 0;
  let key = KEYS;
  let span = SPANS;
  let excluded = EXCLUDED;
  if (offset == 0 && !skipOpening()) return nothingRead(end);

  let done = BODY;
  let isMore: bool = true;
  let isEnd: bool = false;
  while (isMore && count < ROWS_MAX) {
    skipBlanks();
    // Blanks are done too, because there may be millions: the next call would skip them again.
    done = at;
    isMore = readResource(key, span);
    if (isMore) {
      skipBlanks();
      isMore = take(0x2c);
      isEnd = !isMore && skipClosing(end);
    }
    // A resource is complete only if something follows.
    if (isMore || isEnd) {
      done = at;
      count += 1;
      const size = load<f64>(key, KEY_SIZE);
      if ((load<u32>(key, KEY_PERMISSIONS) & modeBits) != modeBits) {
        memory.copy(excluded, key, SHA1_BYTES);
        excluded += SHA1_BYTES;
      }
      // Otherwise the next resource overwrites the row.
      if (size >= minimumSize && size <= maximumSize) {
        key += KEY_BYTES;
        span += SPAN_BYTES;
      }
    }
  }
  if (count > room) return NOT_CANONICAL;
  if (done == BODY) return nothingRead(end);
  store<u32>(COUNTS, count);
  store<u32>(COUNTS, <u32>((key - KEYS) / KEY_BYTES), 4);
  store<u32>(COUNTS, <u32>((excluded - EXCLUDED) / SHA1_BYTES), 8);
  store<u32>(COUNTS, <u32>isEnd, 12);
  return <i32>(done - BODY);
}

/** The result of a scan that found no complete resource, and stopped at `at`. */
function nothingRead(end: usize): i32 {
  // The longest token that is read at once is a SHA-1 with its quotes, which is shorter.
  return at + PADDING_BYTES <= end ? NOT_CANONICAL : 0;
}

function skipOpening(): bool {
  skipBlanks();
  if (!take(0x7b)) return false;
  skipBlanks();
  // "resources"
  if (load<u64>(at) != 0x6372756f73657222 || load<u16>(at, 8) != 0x7365 || load<u8>(at, 10) != 0x22) return false;
  moveTo(at + 11);
  skipBlanks();
  if (!take(0x3a)) return false;
  skipBlanks();
  return take(0x5b);
}

function skipClosing(end: usize): bool {
  if (!take(0x5d)) return false;
  skipBlanks();
  if (!take(0x7d)) return false;
  skipBlanks();
  return at == end;
}
