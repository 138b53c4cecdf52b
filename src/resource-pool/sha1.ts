const SHA1_CHARACTERS = 40;

/** Values of hex digits by character code, in either letter case; above 15 for all other characters. */
const NIBBLE = new Uint8Array(256).fill(0xff);
for (const digit of "0123456789abcdefABCDEF") NIBBLE[digit.charCodeAt(0)] = Number.parseInt(digit, 16);

/** Whether a text is a SHA-1 in hex, of either letter case. */
export function isSha1Hex(text: string): boolean {
  if (text.length !== SHA1_CHARACTERS) return false;
  let seen = 0;
  for (let index = 0; index < SHA1_CHARACTERS; index++) {
    const code = text.charCodeAt(index);
    seen |= (NIBBLE[code & 0xff] as number) | (code & 0xff00);
  }
  return seen < 0x10;
}

/**
 * Four bytes of a SHA-1 as their big-endian value.
 *
 * @param hex known to be hex
 * @param byte the first of the four
 */
export function sha1Word(hex: string, byte: number): number {
  let word = 0;
  for (let index = 2 * byte; index < 2 * byte + 8; index++) {
    word = (word << 4) | (NIBBLE[hex.charCodeAt(index) & 0xff] as number);
  }
  return word >>> 0;
}
