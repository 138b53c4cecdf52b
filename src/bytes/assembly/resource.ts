/** Reads a resource of the usual form. */
import { at, goTo, origin, pass, take } from "./cursor";
import { decodeSha1 } from "./hex";
import {
  KEY_PERMISSIONS,
  KEY_SIZE,
  PLACE_HAS_ESCAPES,
  PLACE_MODE,
  PLACE_MODE_END,
  PLACE_PATH,
  PLACE_PATH_END,
  PLACE_SHA1,
  PLACE_SIZE,
  PLACE_SIZE_END,
  TEXT_MAX_BYTES,
} from "./layout";
import { hasEscapes, passedTo, passText } from "./text";

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

/** @returns whether it is one; then `key` and `place` are those of it */
export function readResource(key: usize, place: usize): bool {
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
      goTo(at + 4);
    } else if (name == MODE) {
      member = IS_MODE;
      goTo(at + 4);
    } else if (name == CHEC && load<u64>(at, 1) == KSUM) {
      member = IS_SHA1;
      goTo(at + 8);
    } else if (name == SIZE && load<u64>(at, 4) == IN_BYTES && load<u8>(at, 12) == 0x73) {
      member = IS_SIZE;
      goTo(at + 13);
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
      goTo(at + 4);
    } else if (member == IS_PATH) {
      const end = passText(at);
      // What is too long, whole or not, is left where it begins.
      if (passedTo - at >= <usize>TEXT_MAX_BYTES) return false;
      if (end == 0) {
        goTo(passedTo);
        return false;
      }
      store<u32>(place, <u32>(at - origin), PLACE_PATH);
      store<u32>(place, <u32>(end - origin), PLACE_PATH_END);
      store<u32>(place, <u32>hasEscapes, PLACE_HAS_ESCAPES);
      goTo(end);
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
  goTo(at + 7);
  pass();
  if (!take(0x3a)) return false;
  pass();
  if (!take(0x22)) return false;
  store<u32>(place, <u32>(at - origin), PLACE_SHA1);
  if (!decodeSha1(at, key)) return false;
  goTo(at + 40);
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
    goTo(at + 1);
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
    goTo(at + 1);
    digit = <u32>load<u8>(at) - 0x30;
  }
  if (at - start >= <usize>TEXT_MAX_BYTES) {
    goTo(start);
    return -1;
  }
  if (at == start + 1 || !take(0x22)) return -1;
  store<u32>(place, <u32>(start - origin), PLACE_MODE);
  store<u32>(place, <u32>(at - origin), PLACE_MODE_END);
  return <i32>permissions;
}
