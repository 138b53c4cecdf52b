/** What the operator lets the pool hold. */
export interface EligibilityRules {
  /** Bytes, included. */
  minimumSize: number;
  /** Bytes, included. */
  maximumSize: number;
  /** Bits that every mode of a checksum must have; undefined where modes don't matter. */
  minimumFileMode: number | undefined;
}

/** The digits of a mode that are permissions; those before them tell the kind of file. */
const PERMISSION_DIGITS = 4;

/** A mode with every bit that it must have, in octal digits as it came. */
export function withBits(mode: string, bits: number): string {
  const kind = mode.slice(0, -PERMISSION_DIGITS);
  const digits = (Number.parseInt(mode.slice(-PERMISSION_DIGITS), 8) | bits).toString(8);
  return kind + digits.padStart(Math.min(mode.length, PERMISSION_DIGITS), "0");
}
