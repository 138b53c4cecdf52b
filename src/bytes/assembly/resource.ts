/** Scans one resource. */
import { at, moveTo, origin, skipBlanks, take } from "./cursor";
import { decodeSha1 } from "./hex";
import {
  KEY_PERMISSIONS,
  KEY_SIZE,
  SPAN_HAS_ESCAPES,
  SPAN_MODE,
  SPAN_MODE_END,
  SPAN_PATH,
  SPAN_PATH_END,
  SPAN_SHA1,
  SPAN_SIZE,
  SPAN_SIZE_END,
  TEXT_MAX_BYTES,
} from "./layout";
import { hasEscapes, stoppedAt, skipString } from "./string";

/** The Cloud Controller's default. */
const DEFAULT_PERMISSIONS: u32 = 0o744;
const SIZE_DIGITS_MAX: usize = 16;
/** From here on, JSON.parse may round integers. */
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

/** Writes the key row and the span row of a resource. @returns whether it is in canonical form */
export function readResource(key: usize, span: usize): bool {
  if (!take(0x7b)) return false;
  store<u32>(span, 0, SPAN_PATH);
  store<u32>(span, 0, SPAN_MODE);
  store<u32>(span, 0, SPAN_HAS_ESCAPES);
  let permissions = DEFAULT_PERMISSIONS;
  let members: u32 = 0;
  let isMore: bool = true;
  while (isMore) {
    skipBlanks();
    if (!take(0x22)) return false;
    const name = load<u32>(at);
    let member: u32 = 0;
    if (name == PATH) {
      member = IS_PATH;
      moveTo(at + 4);
    } else if (name == MODE) {
      member = IS_MODE;
      moveTo(at + 4);
    } else if (name == CHEC && load<u64>(at, 1) == KSUM) {
      member = IS_SHA1;
      moveTo(at + 8);
    } else if (name == SIZE && load<u64>(at, 4) == IN_BYTES && load<u8>(at, 12) == 0x73) {
      member = IS_SIZE;
      moveTo(at + 13);
    } else return false;
    if (!take(0x22) || (members & member) != 0) return false;
    members |= member;
    skipBlanks();
    if (!take(0x3a)) return false;
    skipBlanks();
    if (member == IS_SHA1) {
      if (!readChecksum(key, span)) return false;
    } else if (member == IS_SIZE) {
      if (!readSize(key, span)) return false;
    } else if (load<u32>(at) == NULL) {
      moveTo(at + 4);
    } else if (member == IS_PATH) {
      const end = skipString(at);
      // The scan stops at the start of a string that is too long, so that a longer chunk is not tried.
      if (stoppedAt - at >= <usize>TEXT_MAX_BYTES) return false;
      if (end == 0) {
        moveTo(stoppedAt);
        return false;
      }
      store<u32>(span, <u32>(at - origin), SPAN_PATH);
      store<u32>(span, <u32>(end - origin), SPAN_PATH_END);
      store<u32>(span, <u32>hasEscapes, SPAN_HAS_ESCAPES);
      moveTo(end);
    } else {
      const read = readMode(span);
      if (read < 0) return false;
      permissions = <u32>read;
    }
    skipBlanks();
    isMore = take(0x2c);
  }
  store<u32>(key, permissions, KEY_PERMISSIONS);
  return take(0x7d) && (members & (IS_SHA1 | IS_SIZE)) == (IS_SHA1 | IS_SIZE);
}

function readChecksum(key: usize, span: usize): bool {
  if (!take(0x7b)) return false;
  skipBlanks();
  if (load<u64>(at) << 8 != VALUE) return false;
  moveTo(at + 7);
  skipBlanks();
  if (!take(0x3a)) return false;
  skipBlanks();
  if (!take(0x22)) return false;
  store<u32>(span, <u32>(at - origin), SPAN_SHA1);
  if (!decodeSha1(at, key)) return false;
  moveTo(at + 40);
  if (!take(0x22)) return false;
  skipBlanks();
  return take(0x7d);
}

function readSize(key: usize, span: usize): bool {
  const start = at;
  let size: u64 = 0;
  let digit = <u32>load<u8>(at) - 0x30;
  while (digit < 10) {
    if (at == start + SIZE_DIGITS_MAX) return false;
    size = size * 10 + <u64>digit;
    moveTo(at + 1);
    digit = <u32>load<u8>(at) - 0x30;
  }
  if (at == start || (load<u8>(start) == 0x30 && at > start + 1) || size > ROUNDED) return false;
  store<u32>(span, <u32>(start - origin), SPAN_SIZE);
  store<u32>(span, <u32>(at - origin), SPAN_SIZE_END);
  store<f64>(key, <f64>size, KEY_SIZE);
  return true;
}

/** @returns the permissions, the last four digits of a mode; or -1 */
function readMode(span: usize): i32 {
  const start = at;
  if (!take(0x22)) return -1;
  let permissions: u32 = 0;
  let digit = <u32>load<u8>(at) - 0x30;
  while (digit < 8) {
    permissions = ((permissions << 3) | digit) & 0o7777;
    moveTo(at + 1);
    digit = <u32>load<u8>(at) - 0x30;
  }
  if (at - start >= <usize>TEXT_MAX_BYTES) {
    moveTo(start);
    return -1;
  }
  if (at == start + 1 || !take(0x22)) return -1;
  store<u32>(span, <u32>(start - origin), SPAN_MODE);
  store<u32>(span, <u32>(at - origin), SPAN_MODE_END);
  return <i32>permissions;
}
