import { HEX_VALUES } from "../resources/sha1.ts";

/**
 * Tokens of JSON text (RFC 8259) in its bytes. Each function is given where one begins, and tells where it ends, or throws a
 * SyntaxError: what is passed by the million keeps its place in a variable.
 */

export const BLANK = 0x20;
export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const ZERO = 0x30;
export const NINE = 0x39;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const E = 0x45;
const SMALL_E = 0x65;
const BACKSLASH = 0x5c;
const U = 0x75;

const codes = (characters: string) => [...characters].map((character) => character.charCodeAt(0));
const tableOf = (characters: string) => {
  const table = new Uint8Array(256);
  for (const code of codes(characters)) table[code] = 1;
  return table;
};
export const IS_SPACE = tableOf(" \t\n\r");
const IS_ESCAPE = tableOf('"\\/bfnrt');
const LITERALS = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), codes(word)]));

export function blanksEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && IS_SPACE[bytes[at] as number]) at += 1;
  return at;
}

/** Of the name of a member, and its colon, blanks before them. */
export function nameEnd(bytes: Uint8Array, start: number): number {
  const name = blanksEnd(bytes, start);
  if (bytes[name] !== QUOTE) throw noJson();
  const colon = blanksEnd(bytes, stringEnd(bytes, name));
  if (bytes[colon] !== COLON) throw noJson();
  return colon + 1;
}

export function scalarEnd(bytes: Uint8Array, start: number): number {
  const first = bytes[start] ?? 0;
  if (first === QUOTE) return stringEnd(bytes, start);
  const literal = first > NINE ? LITERALS.get(first) : undefined;
  if (!literal) return numberEnd(bytes, start);
  let at = start;
  for (const code of literal) if (bytes[at++] !== code) throw noJson();
  return at;
}

export function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  for (let byte = bytes[at++]; byte !== QUOTE; byte = bytes[at++]) {
    if (byte === undefined || byte < BLANK) throw noJson();
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[at++] ?? 0;
    if (escaped === U) {
      for (const end = at + 4; at < end; at++)
        if ((HEX_VALUES[bytes[at] ?? 0] as number) > 15) throw noJson();
    } else if (!IS_ESCAPE[escaped]) throw noJson();
  }
  return at;
}

function numberEnd(bytes: Uint8Array, start: number): number {
  let at = bytes[start] === MINUS ? start + 1 : start;
  at = bytes[at] === ZERO ? at + 1 : digitsEnd(bytes, at);
  if (bytes[at] === POINT) at = digitsEnd(bytes, at + 1);
  if (bytes[at] !== E && bytes[at] !== SMALL_E) return at;
  at += 1;
  if (bytes[at] === PLUS || bytes[at] === MINUS) at += 1;
  return digitsEnd(bytes, at);
}

function digitsEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && (bytes[at] as number) >= ZERO && (bytes[at] as number) <= NINE) at += 1;
  if (at === start) throw noJson();
  return at;
}

/** Whether a text, from behind its opening quote to its closing one, means `name`: ASCII letters, each of which may be escaped. */
export function isMeant(name: string, bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  for (let index = 0; index < name.length; index++) {
    let code = bytes[at++];
    if (code === BACKSLASH) {
      // No other escape stands for a letter.
      if (bytes[at++] !== U) return false;
      code = 0;
      for (const last = at + 4; at < last; at++)
        code = (code << 4) | (HEX_VALUES[bytes[at] as number] as number);
    }
    if (code !== name.charCodeAt(index)) return false;
  }
  return at === end;
}

export function noJson(): SyntaxError {
  return new SyntaxError("the body is no JSON");
}
