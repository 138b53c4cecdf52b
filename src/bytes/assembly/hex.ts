/**
 * Decodes 16 hex digits to 8 bytes.
 *
 * @returns a bit for each digit that is valid
 */
// @ts-expect-error: decorator
@inline
function decode16(digits: v128, target: usize): i32 {
  const numbers = i8x16.sub(digits, i8x16.splat(0x30));
  const isNumber = i8x16.lt_u(numbers, i8x16.splat(10));
  const letters = i8x16.sub(v128.or(digits, i8x16.splat(0x20)), i8x16.splat(0x61));
  const isLetter = i8x16.lt_u(letters, i8x16.splat(6));
  const values = v128.bitselect(numbers, i8x16.add(letters, i8x16.splat(10)), isNumber);
  // The first digit of a pair is the low byte.
  const bytes = v128.and(v128.or(i16x8.shl(values, 4), i16x8.shr_u(values, 8)), i16x8.splat(0xff));
  v128.store64_lane(target, i8x16.narrow_i16x8_u(bytes, bytes), 0);
  return i8x16.bitmask(v128.or(isNumber, isLetter));
}

/** Decodes 40 hex digits of either letter case to 20 bytes. Overwrites the 4 bytes after them. */
export function decodeSha1(digits: usize, target: usize): bool {
  const first = decode16(v128.load(digits), target);
  const second = decode16(v128.load(digits, 16), target + 8);
  const third = decode16(v128.load(digits, 32), target + 16);
  return (first & second & (third | 0xff00)) == 0xffff;
}

/** @param value 0 to 15 */
// @ts-expect-error: decorator
@inline
export function hexDigit(value: u32): u32 {
  return value + (value < 10 ? 0x30 : 0x57);
}

/** The value of four hex digits, or -1. */
export function decode4(digits: usize): i32 {
  let value = 0;
  for (let at = digits; at < digits + 4; at++) {
    const digit = <u32>load<u8>(at);
    const letter = (digit | 0x20) - 0x61;
    if (digit - 0x30 < 10) value = (value << 4) | <i32>(digit - 0x30);
    else if (letter < 6) value = (value << 4) | <i32>(letter + 10);
    else return -1;
  }
  return value;
}
