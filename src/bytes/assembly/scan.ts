/**
 * Reads a request of the usual form from its bytes: `{"resources":[…]}` with whitespace and members in any order, none
 * twice, none unknown, path and mode absent or null or text, a checksum of hex, a size of plain digits. For all else
 * it steps aside, whether JSON or not.
 */
import { decodeSha1 } from "./hex";
import {
  BODY,
  COUNTS,
  KEY_BYTES,
  KEY_PERMISSIONS,
  KEY_SIZE,
  KEYS,
  LACKING,
  PLACE_BYTES,
  PLACE_HAS_ESCAPES,
  PLACE_MODE,
  PLACE_MODE_END,
  PLACE_PATH,
  PLACE_PATH_END,
  PLACE_SHA1,
  PLACE_SIZE,
  PLACE_SIZE_END,
  PLACES,
  ROWS_MAX,
  SHA1_BYTES,
  SLACK,
} from "./layout";
import { hasEscapes, passText } from "./text";

/** As the Cloud Controller takes a file without mode. */
const DEFAULT_PERMISSIONS: u32 = 0o744;
const SIZE_DIGITS_MAX: usize = 16;
/** The first whole number that JSON.parse may have rounded to. */
const ROUNDED: u64 = 1 << 53;

const IS_SHA1: u32 = 1;
const IS_SIZE: u32 = 2;
const IS_PATH: u32 = 4;
const IS_MODE: u32 = 8;

const PATH = 0x68746170;
const MODE = 0x65646f6d;
const CHEC = 0x63656863;
const KSUM: u64 = 0x226d75736b636568; // hecksum"
const SIZE = 0x657a6973;
const IN_BYTES: u64 = 0x65747962_5f6e695f; // _in_byte
const VALUE: u64 = 0x22_65756c61762200; // ?"value"
const NULL = 0x6c6c756e;

/** Where reading has come to. */
let at: usize = 0;
/** Where the body would begin, of which a piece is read. */
let origin: usize = 0;

/**
 * Reads the resources of a piece of a body, as many as are whole.
 *
 * @param length bytes of the piece
 * @param offset where in the body it begins: 0, or at a resource
 * @param room how many resources it may have
 * @param minimumSize bytes, as the two below: which resources are candidates, whose rows are kept in the request's order
 * @param modeBits of those that lack one of them the SHA-1 is listed, candidates or not
 * @returns how many bytes of the piece have been read, to the next resource or to the end; 0 where it is not of the
 *   usual form, or none of its resources is whole
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
  at = BODY;
  origin = BODY - <usize>offset;
  let count = 0;
  let key = KEYS;
  let place = PLACES;
  let lacking = LACKING;
  if (offset == 0 && !passOpening()) return 0;

  let done = BODY;
  let isMore: bool = true;
  let isEnd: bool = false;
  while (isMore && count < ROWS_MAX) {
    pass();
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
  if (count > room) return 0;
  store<u32>(COUNTS, count);
  store<u32>(COUNTS, <u32>((key - KEYS) / KEY_BYTES), 4);
  store<u32>(COUNTS, <u32>((lacking - LACKING) / SHA1_BYTES), 8);
  store<u32>(COUNTS, <u32>isEnd, 12);
  return <i32>(done - BODY);
}

/** Passes over what comes before the first resource. */
function passOpening(): bool {
  pass();
  if (!take(0x7b)) return false;
  pass();
  // "resources"
  if (load<u64>(at) != 0x6372756f73657222 || load<u16>(at, 8) != 0x7365 || load<u8>(at, 10) != 0x22) return false;
  at += 11;
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

// @ts-expect-error: decorator
@inline
function pass(): void {
  while (isBlank(load<u8>(at))) at += 1;
}

// @ts-expect-error: decorator
@inline
function isBlank(byte: u32): bool {
  return byte <= 0x20 && (byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09);
}

// @ts-expect-error: decorator
@inline
function take(byte: u32): bool {
  if (load<u8>(at) != byte) return false;
  at += 1;
  return true;
}

function readResource(key: usize, place: usize): bool {
  if (!take(0x7b)) return false;
  store<u32>(place, 0, PLACE_PATH);
  store<u32>(place, 0, PLACE_MODE);
  store<u32>(place, 0, PLACE_HAS_ESCAPES);
  let permissions = DEFAULT_PERMISSIONS;
  let members: u32 = 0;
  let isMore: bool = true;
  while (isMore) {
    pass();
    if (!take(0x22)) return false;
    const name = load<u32>(at);
    let member: u32 = 0;
    if (name == PATH) {
      member = IS_PATH;
      at += 4;
    } else if (name == MODE) {
      member = IS_MODE;
      at += 4;
    } else if (name == CHEC && load<u64>(at, 1) == KSUM) {
      member = IS_SHA1;
      at += 8;
    } else if (name == SIZE && load<u64>(at, 4) == IN_BYTES && load<u8>(at, 12) == 0x73) {
      member = IS_SIZE;
      at += 13;
    } else return false;
    if (!take(0x22) || (members & member) != 0) return false;
    members |= member;
    pass();
    if (!take(0x3a)) return false;
    pass();
    if (member == IS_SHA1) {
      if (!readChecksum(key, place)) return false;
    } else if (member == IS_SIZE) {
      if (!readSize(key, place)) return false;
    } else if (load<u32>(at) == NULL) {
      at += 4;
    } else if (member == IS_PATH) {
      const end = passText(at);
      if (end == 0) return false;
      store<u32>(place, <u32>(at - origin), PLACE_PATH);
      store<u32>(place, <u32>(end - origin), PLACE_PATH_END);
      store<u32>(place, <u32>hasEscapes, PLACE_HAS_ESCAPES);
      at = end;
    } else {
      const read = readMode(place);
      if (read < 0) return false;
      permissions = <u32>read;
    }
    pass();
    isMore = take(0x2c);
  }
  store<u32>(key, permissions, KEY_PERMISSIONS);
  return take(0x7d) && (members & (IS_SHA1 | IS_SIZE)) == (IS_SHA1 | IS_SIZE);
}

function readChecksum(key: usize, place: usize): bool {
  if (!take(0x7b)) return false;
  pass();
  if (load<u64>(at) << 8 != VALUE) return false;
  at += 7;
  pass();
  if (!take(0x3a)) return false;
  pass();
  if (!take(0x22)) return false;
  store<u32>(place, <u32>(at - origin), PLACE_SHA1);
  if (!decodeSha1(at, key)) return false;
  at += 40;
  if (!take(0x22)) return false;
  pass();
  return take(0x7d);
}

function readSize(key: usize, place: usize): bool {
  const start = at;
  let size: u64 = 0;
  let digit = <u32>load<u8>(at) - 0x30;
  while (digit < 10) {
    if (at == start + SIZE_DIGITS_MAX) return false;
    size = size * 10 + <u64>digit;
    at += 1;
    digit = <u32>load<u8>(at) - 0x30;
  }
  if (at == start || (load<u8>(start) == 0x30 && at > start + 1) || size > ROUNDED) return false;
  store<u32>(place, <u32>(start - origin), PLACE_SIZE);
  store<u32>(place, <u32>(at - origin), PLACE_SIZE_END);
  store<f64>(key, <f64>size, KEY_SIZE);
  return true;
}

/** @returns the permissions, the last four digits of a mode; or -1 */
function readMode(place: usize): i32 {
  const start = at;
  if (!take(0x22)) return -1;
  let permissions: u32 = 0;
  let digit = <u32>load<u8>(at) - 0x30;
  while (digit < 8) {
    permissions = ((permissions << 3) | digit) & 0o7777;
    at += 1;
    digit = <u32>load<u8>(at) - 0x30;
  }
  if (at == start + 1 || !take(0x22)) return -1;
  store<u32>(place, <u32>(start - origin), PLACE_MODE);
  store<u32>(place, <u32>(at - origin), PLACE_MODE_END);
  return <i32>permissions;
}
