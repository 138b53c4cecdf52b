/** Writes what JavaScript hands on: answers, and the names of keys. */
import { hexDigit } from "./hex";
import {
  BODY,
  KEY_BYTES,
  KEY_SIZE,
  KEYS,
  MARKS,
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
  SHA1_BYTES,
  TEXTS,
} from "./layout";
import { rewriteText } from "./text";

/** The fixed texts, as bytes, each with room for two vectors. */
const BEFORE_SHA1 = put(0, ',{"checksum":{"value":"');
const BEFORE_SIZE = put(1, '"},"size_in_bytes":');
const BEFORE_PATH = put(2, ',"path":');
const BEFORE_MODE = put(3, ',"mode":');

function put(number: usize, text: string): usize {
  const place = TEXTS + 32 * number;
  for (let at = 0; at < text.length; at++) store<u8>(place + <usize>at, text.charCodeAt(at));
  return place;
}

/**
 * Writes the marked candidates in their order at `target` behind the piece of the body in which they are, each with a
 * comma before it.
 *
 * @param offset where in the body the piece begins
 * @returns how many bytes that are
 */
export function write(count: i32, offset: u32, target: usize): i32 {
  const origin = BODY - <usize>offset;
  let out = target;
  for (let index: usize = 0; index < <usize>count; index++) {
    if (load<u8>(MARKS + index) == 0) continue;
    const place = PLACES + index * PLACE_BYTES;
    out = copy32(BEFORE_SHA1, out, 23);
    const sha1 = origin + <usize>load<u32>(place, PLACE_SHA1);
    v128.store(out, v128.load(sha1));
    v128.store(out, v128.load(sha1, 16), 16);
    v128.store(out, v128.load(sha1, 32), 32);
    out = copy32(BEFORE_SIZE, out + 40, 19);
    const size = origin + <usize>load<u32>(place, PLACE_SIZE);
    v128.store(out, v128.load(size));
    out += origin + <usize>load<u32>(place, PLACE_SIZE_END) - size;
    const path = <usize>load<u32>(place, PLACE_PATH);
    if (path != 0) {
      store<u64>(out, load<u64>(BEFORE_PATH));
      out += 8;
      const end = origin + <usize>load<u32>(place, PLACE_PATH_END);
      const isPlain = load<u32>(place, PLACE_HAS_ESCAPES) == 0;
      out = isPlain ? copy(origin + path, end, out) : rewriteText(origin + path, end, out);
    }
    const mode = <usize>load<u32>(place, PLACE_MODE);
    if (mode != 0) {
      store<u64>(out, load<u64>(BEFORE_MODE));
      out = copy(origin + mode, origin + <usize>load<u32>(place, PLACE_MODE_END), out + 8);
    }
    store<u8>(out++, 0x7d);
  }
  return <i32>(out - target);
}

// @ts-expect-error: decorator
@inline
function copy32(text: usize, out: usize, length: usize): usize {
  v128.store(out, v128.load(text));
  v128.store(out, v128.load(text, 16), 16);
  return out + length;
}

/** Copies sixteen bytes at a time, up to fifteen too many. */
// @ts-expect-error: decorator
@inline
function copy(start: usize, end: usize, target: usize): usize {
  let out = target;
  for (let at = start; at < end; at += 16) {
    v128.store(out, v128.load(at));
    out += 16;
  }
  return target + (end - start);
}

/**
 * Writes the names of the keys that are not marked, where the body lay: `<sha1>:<size>`, a line each.
 *
 * @returns how many bytes they have
 */
export function writeNames(count: i32): i32 {
  let out = BODY;
  for (let index: usize = 0; index < <usize>count; index++) {
    if (load<u8>(MARKS + index) != 0) continue;
    const key = KEYS + index * KEY_BYTES;
    for (let at = key; at < key + SHA1_BYTES; at++) {
      const byte = <u32>load<u8>(at);
      store<u16>(out, <u16>(hexDigit(byte >> 4) | (hexDigit(byte & 15) << 8)));
      out += 2;
    }
    store<u8>(out++, 0x3a);
    out = writeNumber(<u64>load<f64>(key, KEY_SIZE), out);
    store<u8>(out++, 0x0a);
  }
  return <i32>(out - BODY);
}

function writeNumber(value: u64, target: usize): usize {
  let digits: usize = 1;
  for (let rest = value / 10; rest != 0; rest /= 10) digits += 1;
  let rest = value;
  for (let at = digits; at > 0; at--) {
    store<u8>(target + at - 1, <u8>(0x30 + (rest % 10)));
    rest /= 10;
  }
  return target + digits;
}
