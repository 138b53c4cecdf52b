/** Writes responses, and the names of keys. */
import { hexDigit } from "./hex";
import {
  BODY,
  KEY_BYTES,
  KEY_SIZE,
  KEYS,
  MARKS,
  SPAN_BYTES,
  SPAN_HAS_ESCAPES,
  SPAN_MODE,
  SPAN_MODE_END,
  SPAN_PATH,
  SPAN_PATH_END,
  SPAN_SHA1,
  SPAN_SIZE,
  SPAN_SIZE_END,
  SPANS,
  SHA1_BYTES,
  FIXED_TEXTS,
} from "./layout";
import { writeString } from "./string";

/** The fixed texts, each with room for two vectors. */
const TO_SHA1 = put(0, ',{"checksum":{"value":"');
const TO_SIZE = put(1, '"},"size_in_bytes":');
const TO_PATH = put(2, ',"path":');
const TO_MODE = put(3, ',"mode":');

function put(number: usize, text: string): usize {
  const start = FIXED_TEXTS + 32 * number;
  for (let at = 0; at < text.length; at++) store<u8>(start + <usize>at, text.charCodeAt(at));
  return start;
}

/**
 * Writes the marked candidates of a chunk of the body, each with a comma before it.
 *
 * @param offset of the chunk in the body
 * @param target after the chunk and its padding
 * @returns how many bytes were written
 */
export function write(count: i32, offset: u32, target: usize): i32 {
  const origin = BODY - <usize>offset;
  let out = target;
  for (let index: usize = 0; index < <usize>count; index++) {
    if (load<u8>(MARKS + index) == 0) continue;
    const span = SPANS + index * SPAN_BYTES;
    out = writeFixed(TO_SHA1, out, 23);
    const sha1 = origin + <usize>load<u32>(span, SPAN_SHA1);
    v128.store(out, v128.load(sha1));
    v128.store(out, v128.load(sha1, 16), 16);
    v128.store(out, v128.load(sha1, 32), 32);
    out = writeFixed(TO_SIZE, out + 40, 19);
    const size = origin + <usize>load<u32>(span, SPAN_SIZE);
    v128.store(out, v128.load(size));
    out += origin + <usize>load<u32>(span, SPAN_SIZE_END) - size;
    const path = <usize>load<u32>(span, SPAN_PATH);
    if (path != 0) {
      store<u64>(out, load<u64>(TO_PATH));
      out += 8;
      const end = origin + <usize>load<u32>(span, SPAN_PATH_END);
      const isPlain = load<u32>(span, SPAN_HAS_ESCAPES) == 0;
      out = isPlain ? copy(origin + path, end, out) : writeString(origin + path, end, out);
    }
    const mode = <usize>load<u32>(span, SPAN_MODE);
    if (mode != 0) {
      store<u64>(out, load<u64>(TO_MODE));
      out = copy(origin + mode, origin + <usize>load<u32>(span, SPAN_MODE_END), out + 8);
    }
    store<u8>(out++, 0x7d);
  }
  return <i32>(out - target);
}

// @ts-expect-error: decorator
@inline
function writeFixed(text: usize, out: usize, length: usize): usize {
  v128.store(out, v128.load(text));
  v128.store(out, v128.load(text, 16), 16);
  return out + length;
}

/** Copies 16 bytes at a time, and so up to 15 bytes beyond the end. */
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
 * Writes the name of each key whose mark is 0 to BODY: `<sha1>:<size>`, a line each.
 *
 * @returns how many bytes were written
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
