/** Where reading has come to in a piece of a body. */

export let at: usize = 0;
/** Where the body would begin, of which a piece is read. */
export let origin: usize = 0;

/** @param start of the piece, whose body would begin at `bodyStart` */
// @ts-expect-error: decorator
@inline
export function begin(start: usize, bodyStart: usize): void {
  at = start;
  origin = bodyStart;
}

// @ts-expect-error: decorator
@inline
export function goTo(place: usize): void {
  at = place;
}

/** Passes over whitespace. */
// @ts-expect-error: decorator
@inline
export function pass(): void {
  while (isBlank(load<u8>(at))) at += 1;
}

// @ts-expect-error: decorator
@inline
function isBlank(byte: u32): bool {
  return byte <= 0x20 && (byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09);
}

/** Passes over a byte, if it is that one. */
// @ts-expect-error: decorator
@inline
export function take(byte: u32): bool {
  if (load<u8>(at) != byte) return false;
  at += 1;
  return true;
}
