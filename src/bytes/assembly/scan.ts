/**
 * Reads a request of the usual form from its bytes: `{"resources":[…]}` with whitespace and members in any order, none
 * twice, none unknown, path and mode absent or null or text that is not too long, a checksum of hex, a size of plain
 * digits. For all else it steps aside, whether JSON or not.
 */
import { at, begin, goTo, pass, take } from "./cursor";
import {
  BODY,
  COUNTS,
  KEY_BYTES,
  KEY_PERMISSIONS,
  KEY_SIZE,
  KEYS,
  LACKING,
  PLACE_BYTES,
  PLACES,
  ROWS_MAX,
  SHA1_BYTES,
  SLACK,
} from "./layout";
import { readResource } from "./resource";

/** What a scan returns where no end makes the piece one of the usual form. */
const UNUSUAL: i32 = -1;

/**
 * Reads the resources of a piece of a body, as many as are whole.
 *
 * @param length bytes of the piece
 * @param offset where in the body it begins: 0, or what comes before a resource
 * @param room how many resources it may have
 * @param minimumSize bytes, as the two below: which resources are candidates, whose rows are kept in the request's order
 * @param modeBits of those that lack one of them the SHA-1 is listed, candidates or not
 * @returns how many bytes of the piece have been read, to the next resource or to the end; 0 where it begins with a
 *   resource that is not whole, as far as it goes; less where it is not of the usual form
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
  // Nothing of what lay there before may be taken for the rest of this piece.
  memory.fill(end, 0, SLACK);
  begin(BODY, BODY - <usize>offset);
  let count = 0;
  let key = KEYS;
  let place = PLACES;
  let lacking = LACKING;
  if (offset == 0 && !passOpening()) return unread(end);

  let done = BODY;
  let isMore: bool = true;
  let isEnd: bool = false;
  while (isMore && count < ROWS_MAX) {
    pass();
    // Nor are blanks read again, for there may be millions.
    done = at;
    isMore = readResource(key, place);
    if (isMore) {
      pass();
      isMore = take(0x2c);
      isEnd = !isMore && passClosing(end);
    }
    // What follows tells that it is whole.
    if (isMore || isEnd) {
      done = at;
      count += 1;
      const size = load<f64>(key, KEY_SIZE);
      if ((load<u32>(key, KEY_PERMISSIONS) & modeBits) != modeBits) {
        memory.copy(lacking, key, SHA1_BYTES);
        lacking += SHA1_BYTES;
      }
      // The row of one that is no candidate is written over by the next.
      if (size >= minimumSize && size <= maximumSize) {
        key += KEY_BYTES;
        place += PLACE_BYTES;
      }
    }
  }
  if (count > room) return UNUSUAL;
  if (done == BODY) return unread(end);
  store<u32>(COUNTS, count);
  store<u32>(COUNTS, <u32>((key - KEYS) / KEY_BYTES), 4);
  store<u32>(COUNTS, <u32>((lacking - LACKING) / SHA1_BYTES), 8);
  store<u32>(COUNTS, <u32>isEnd, 12);
  return <i32>(done - BODY);
}

/** @returns what a scan does that has read nothing, and come as far as `at` */
function unread(end: usize): i32 {
  // The longest that is looked at as a whole, a SHA-1 in its quotes, is shorter.
  return at + SLACK <= end ? UNUSUAL : 0;
}

/** Passes over what comes before the first resource. */
function passOpening(): bool {
  pass();
  if (!take(0x7b)) return false;
  pass();
  // "resources"
  if (load<u64>(at) != 0x6372756f73657222 || load<u16>(at, 8) != 0x7365 || load<u8>(at, 10) != 0x22) return false;
  goTo(at + 11);
  pass();
  if (!take(0x3a)) return false;
  pass();
  return take(0x5b);
}

/** Passes over what comes after the last resource, up to the end and no further. */
function passClosing(end: usize): bool {
  if (!take(0x5d)) return false;
  pass();
  if (!take(0x7d)) return false;
  pass();
  return at == end;
}
