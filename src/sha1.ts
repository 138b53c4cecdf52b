import { toHex } from "./hex.ts";

const SHA1_CHARACTERS = 40;
/** A SHA-1 is five words of 32 bits. */
export const SHA1_WORDS = 5;

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
 * Writes the 20 bytes of a SHA-1 as five words, little-endian as the platform is.
 *
 * @param hex known to be hex
 * @param at the first word
 */
export function writeSha1(hex: string, words: Uint32Array, at: number): void {
  for (let word = 0; word < SHA1_WORDS; word++) {
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) {
      const digit = 8 * word + 2 * byte;
      const high = NIBBLE[hex.charCodeAt(digit) & 0xff] as number;
      value = (value << 8) | (high << 4) | (NIBBLE[hex.charCodeAt(digit + 1) & 0xff] as number);
    }
    words[at + word] = value;
  }
}

/** The 20 bytes of a SHA-1, of which `hex` is known to be the hex. */
export function sha1Bytes(hex: string): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(SHA1_WORDS);
  writeSha1(hex, words, 0);
  return new Uint8Array(words.buffer);
}

/** 40 digits of lower-case hex. */
export function sha1Hex(bytes: ArrayBuffer): string {
  return toHex(new Uint8Array(bytes));
}
