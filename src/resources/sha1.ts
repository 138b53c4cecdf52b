const SHA1_CHARACTERS = 40;

const BYTE_HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Values of hex digits by character code, in either letter case; above 15 for all other characters. */
const HEX_VALUES = new Uint8Array(256).fill(0xff);
for (const digit of "0123456789abcdefABCDEF") HEX_VALUES[digit.charCodeAt(0)] = Number.parseInt(digit, 16);

/** Whether a text is a SHA-1 in hex, in either letter case. */
export function isSha1Hex(text: string): boolean {
  if (text.length !== SHA1_CHARACTERS) return false;
  let bits = 0;
  for (let index = 0; index < SHA1_CHARACTERS; index++) {
    const code = text.charCodeAt(index);
    bits |= (HEX_VALUES[code & 0xff] as number) | (code & 0xff00);
  }
  return bits < 0x10;
}

/**
 * The 20 bytes of a SHA-1.
 *
 * @param hex 40 hex digits; not checked
 */
export function sha1Bytes(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SHA1_CHARACTERS / 2);
  for (let byte = 0; byte < bytes.length; byte++) {
    const high = HEX_VALUES[hex.charCodeAt(2 * byte) & 0xff] as number;
    bytes[byte] = (high << 4) | (HEX_VALUES[hex.charCodeAt(2 * byte + 1) & 0xff] as number);
  }
  return bytes;
}

/** 40 digits of lower-case hex. */
export function sha1Hex(bytes: ArrayBuffer): string {
  return toHex(new Uint8Array(bytes));
}

/** Two lower-case digits per byte. */
export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += BYTE_HEX[byte];
  return hex;
}
