const BYTE_HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Two lower-case digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += BYTE_HEX[byte];
  return hex;
}

/** @param hex known to be an even number of hex digits */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: hex.length / 2 }, (_, byte) =>
    Number.parseInt(hex.slice(2 * byte, 2 * byte + 2), 16),
  );
}
