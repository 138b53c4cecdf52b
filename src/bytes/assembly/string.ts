/** JSON strings. */
import { decode4, hexDigit } from "./hex";

/** Whether the string that was skipped last has escapes. */
export let hasEscapes: bool = false;
/** Where skipping stopped: the closing quote, or the byte that makes the string invalid. */
export let stoppedAt: usize = 0;

/**
 * Skips a string. The bytes after the chunk are 0.
 *
 * @param start its opening quote
 * @returns the position after its closing quote, or 0 if it is not a string in UTF-8
 */
export function skipString(start: usize): usize {
  hasEscapes = false;
  stoppedAt = start;
  if (load<u8>(start) != 0x22) return 0;
  let at = start + 1;
  let end: usize = 0;
  while (end == 0) {
    const some = v128.load(at);
    const isSpecial = v128.or(
      v128.or(i8x16.eq(some, i8x16.splat(0x22)), i8x16.eq(some, i8x16.splat(0x5c))),
      // Signed, so that bytes from 0x80 on are less too.
      i8x16.lt_s(some, i8x16.splat(0x20)),
    );
    const specials = i8x16.bitmask(isSpecial);
    if (specials == 0) {
      at += 16;
      continue;
    }
    at += ctz(specials);
    stoppedAt = at;
    const byte = <u32>load<u8>(at);
    if (byte == 0x22) end = at + 1;
    else {
      if (byte == 0x5c) {
        hasEscapes = true;
        at = skipEscape(at);
      } else at = byte < 0x80 ? 0 : skipSequence(at, byte);
      if (at == 0) return 0;
    }
  }
  return end;
}

function skipEscape(at: usize): usize {
  const kind = <u32>load<u8>(at, 1);
  if (kind == 0x75) return decode4(at + 2) < 0 ? 0 : at + 6;
  const isShort =
    kind == 0x22 || kind == 0x5c || kind == 0x2f || kind == 0x62 || kind == 0x66 || kind == 0x6e || kind == 0x72 || kind == 0x74;
  return isShort ? at + 2 : 0;
}

/** Skips a character of several bytes, by table 3-7 of the Unicode standard. */
function skipSequence(at: usize, lead: u32): usize {
  const second = <u32>load<u8>(at, 1);
  if (lead < 0xc2 || lead > 0xf4) return 0;
  if (lead < 0xe0) return isContinuation(second) ? at + 2 : 0;
  if (lead == 0xe0 && second < 0xa0) return 0;
  if (lead == 0xed && second > 0x9f) return 0;
  if (lead == 0xf0 && second < 0x90) return 0;
  if (lead == 0xf4 && second > 0x8f) return 0;
  if (!isContinuation(second) || !isContinuation(load<u8>(at, 2))) return 0;
  if (lead < 0xf0) return at + 3;
  return isContinuation(load<u8>(at, 3)) ? at + 4 : 0;
}

// @ts-expect-error: decorator
@inline
function isContinuation(byte: u32): bool {
  return (byte & 0xc0) == 0x80;
}

/**
 * Writes a valid string as JSON.stringify would, which is never longer.
 *
 * @returns the end of the output
 */
export function writeString(start: usize, end: usize, target: usize): usize {
  let at = start;
  let out = target;
  while (at < end) {
    const byte = load<u8>(at);
    if (byte != 0x5c) {
      store<u8>(out, byte);
      at += 1;
      out += 1;
      continue;
    }
    const kind = load<u8>(at, 1);
    if (kind == 0x75) {
      const unit = <u32>decode4(at + 2);
      const next = load<u16>(at, 6) == 0x755c ? <u32>decode4(at + 8) : 0;
      if ((unit & 0xfc00) == 0xd800 && (next & 0xffff_fc00) == 0xdc00) {
        out = writeCharacter(0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff), out);
        at += 12;
      } else {
        out = writeCharacter(unit, out);
        at += 6;
      }
    } else {
      if (kind == 0x2f) store<u8>(out++, kind);
      else {
        store<u16>(out, load<u16>(at));
        out += 2;
      }
      at += 2;
    }
  }
  return out;
}

function writeCharacter(code: u32, out: usize): usize {
  if (code < 0x20) return writeControl(code, out);
  if (code == 0x22 || code == 0x5c) {
    store<u16>(out, <u16>(0x5c | (code << 8)));
    return out + 2;
  }
  if (code < 0x80) {
    store<u8>(out, <u8>code);
    return out + 1;
  }
  if (code < 0x800) {
    store<u16>(out, <u16>((0xc0 | (code >> 6)) | (continuation(code) << 8)));
    return out + 2;
  }
  // A lone surrogate.
  if ((code & 0xffff_f800) == 0xd800) return writeUnit(code, out);
  if (code < 0x10000) {
    store<u8>(out, <u8>(0xe0 | (code >> 12)));
    store<u16>(out, <u16>(continuation(code >> 6) | (continuation(code) << 8)), 1);
    return out + 3;
  }
  store<u32>(
    out,
    (0xf0 | (code >> 18)) | (continuation(code >> 12) << 8) | (continuation(code >> 6) << 16) | (continuation(code) << 24),
  );
  return out + 4;
}

// @ts-expect-error: decorator
@inline
function continuation(bits: u32): u32 {
  return 0x80 | (bits & 0x3f);
}

function writeControl(code: u32, out: usize): usize {
  let letter: u32 = 0;
  if (code == 0x08) letter = 0x62;
  else if (code == 0x09) letter = 0x74;
  else if (code == 0x0a) letter = 0x6e;
  else if (code == 0x0c) letter = 0x66;
  else if (code == 0x0d) letter = 0x72;
  if (letter == 0) return writeUnit(code, out);
  store<u16>(out, <u16>(0x5c | (letter << 8)));
  return out + 2;
}

function writeUnit(unit: u32, out: usize): usize {
  store<u16>(out, 0x755c);
  store<u8>(out, <u8>hexDigit(unit >> 12), 2);
  store<u8>(out, <u8>hexDigit((unit >> 8) & 15), 3);
  store<u8>(out, <u8>hexDigit((unit >> 4) & 15), 4);
  store<u8>(out, <u8>hexDigit(unit & 15), 5);
  return out + 6;
}
