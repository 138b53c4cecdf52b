/** The position of the scan. */

export let at: usize = 0;
/** Where the body would start in memory if all of it were there. Offsets in the body count from here. */
export let origin: usize = 0;

/** @param start of the chunk, in memory */
// @ts-expect-error: decorator
@inline
export function begin(start: usize, bodyStart: usize): void {
  at = start;
  origin = bodyStart;
}

// @ts-expect-error: decorator
@inline
export function moveTo(position: usize): void {
  at = position;
}

// @ts-expect-error: decorator
@inline
export function skipBlanks(): void {
  while (isBlank(load<u8>(at))) at += 1;
}

// @ts-expect-error: decorator
@inline
function isBlank(byte: u32): bool {
  return byte <= 0x20 && (byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09);
}

/** Moves past a byte, if it is the next one. */
// @ts-expect-error: decorator
@inline
export function take(byte: u32): bool {
  if (load<u8>(at) != byte) return false;
  at += 1;
  return true;
}
