const BLANK = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const U = 0x75;
export const ARRAY = 0x5b;
export const OBJECT = 0x7b;
/** From the bracket that opens to the one that closes, of both kinds. */
const TO_CLOSE = 2;

const codes = (characters: string) => [...characters].map((character) => character.charCodeAt(0));
const tableOf = (characters: string) => {
  const table = new Uint8Array(256);
  for (const code of codes(characters)) table[code] = 1;
  return table;
};
const IS_SPACE = tableOf(" \t\n\r");
const IS_ESCAPE = tableOf('"\\/bfnrt');
const HEX_DIGITS = "0123456789abcdef";
const NO_DIGIT = 16;
const NIBBLE = new Uint8Array(256).fill(NO_DIGIT);
for (const digits of [HEX_DIGITS, HEX_DIGITS.toUpperCase()]) {
  codes(digits).forEach((code, value) => {
    NIBBLE[code] = value;
  });
}
const [ZERO = 0, NINE = 0, MINUS = 0, PLUS = 0, POINT = 0, E = 0, SMALL_E = 0] = codes("09-+.Ee");
const LITERALS = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), codes(word)]));

/**
 * Walks through JSON text (RFC 8259) in its bytes, UTF-8, as strict as JSON.parse, and builds nothing: whatever its depth
 * and length, it takes a bit of memory a level. Where the text is no JSON, each method throws a SyntaxError.
 */
export class JsonScanner {
  readonly bytes: Uint8Array;
  /** The next byte. */
  at = 0;
  #nameStart = 0;
  #nameEnd = 0;
  /** Of each level that `value` is in whether it is an object. */
  readonly #levels: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#levels = new Uint8Array((bytes.length >> 3) + 1);
  }

  /** The next byte that is no blank; 0, which no JSON has, at the end. */
  peek(): number {
    this.at = blanksEnd(this.bytes, this.at);
    return this.bytes[this.at] ?? 0;
  }

  /** Passes what opens an array or an object; false where that is closed at once, which is passed too. */
  open(bracket: number): boolean {
    this.#take(bracket);
    if (this.peek() !== bracket + TO_CLOSE) return true;
    this.at += 1;
    return false;
  }

  /** Passes what follows a member: true where that is a comma, false where it closes the array or the object. */
  more(bracket: number): boolean {
    const byte = this.peek();
    if (byte !== COMMA && byte !== bracket + TO_CLOSE) throw noJson();
    this.at += 1;
    return byte === COMMA;
  }

  /** Passes the name of a member, and the colon. */
  name(): void {
    if (this.peek() !== QUOTE) throw noJson();
    this.#nameStart = this.at + 1;
    this.at = stringEnd(this.bytes, this.at);
    this.#nameEnd = this.at - 1;
    this.#take(COLON);
  }

  /** Whether the name that was passed last means `name`, which is ASCII letters: each may have been escaped. */
  isNamed(name: string): boolean {
    const { bytes } = this;
    let at = this.#nameStart;
    for (let index = 0; index < name.length; index++) {
      let code = bytes[at++];
      if (code === BACKSLASH) {
        // No other escape stands for a letter.
        if (bytes[at++] !== U) return false;
        code = 0;
        for (const end = at + 4; at < end; at++) code = (code << 4) | (NIBBLE[bytes[at] as number] as number);
      }
      if (code !== name.charCodeAt(index)) return false;
    }
    return at === this.#nameEnd;
  }

  /** Passes a value. */
  value(): void {
    this.#pass(0);
  }

  /** Passes the rest of an array, from behind a comma. */
  restOfArray(): void {
    this.#levels[0] = 0;
    this.#pass(1);
  }

  /** Passes values until it has left that many levels, and one value where that is none. */
  #pass(levelsBefore: number): void {
    const { bytes } = this;
    const levels = this.#levels;
    let { at } = this;
    let depth = levelsBefore;
    let isObject = false;
    do {
      at = blanksEnd(bytes, at);
      const first = bytes[at];
      if (first === ARRAY || first === OBJECT) {
        at = blanksEnd(bytes, at + 1);
        if (bytes[at] === first + TO_CLOSE) at += 1;
        else {
          isObject = first === OBJECT;
          const bit = 1 << (depth & 7);
          const others = (levels[depth >> 3] as number) & ~bit;
          levels[depth >> 3] = isObject ? others | bit : others;
          depth += 1;
          if (isObject) at = nameEnd(bytes, at);
          continue;
        }
      } else at = scalarEnd(bytes, at);
      while (depth > 0) {
        at = blanksEnd(bytes, at);
        const next = bytes[at++];
        if (next === COMMA) {
          if (isObject) at = nameEnd(bytes, at);
          break;
        }
        if (next !== (isObject ? OBJECT : ARRAY) + TO_CLOSE) throw noJson();
        depth -= 1;
        isObject = depth > 0 && (((levels[(depth - 1) >> 3] as number) >> ((depth - 1) & 7)) & 1) === 1;
      }
    } while (depth > 0);
    this.at = at;
  }

  /** Nothing but blanks may follow. */
  end(): void {
    if (this.peek() !== 0 || this.at < this.bytes.length) throw noJson();
  }

  #take(byte: number): void {
    if (this.peek() !== byte) throw noJson();
    this.at += 1;
  }
}

// Each is given where something begins, and tells where it ends: what is passed by the million keeps its place in a variable.

function blanksEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while ((bytes[at] as number) <= BLANK && IS_SPACE[bytes[at] as number]) at += 1;
  return at;
}

/** Of the name of a member, and its colon, blanks before them. */
function nameEnd(bytes: Uint8Array, start: number): number {
  const name = blanksEnd(bytes, start);
  if (bytes[name] !== QUOTE) throw noJson();
  const colon = blanksEnd(bytes, stringEnd(bytes, name));
  if (bytes[colon] !== COLON) throw noJson();
  return colon + 1;
}

function scalarEnd(bytes: Uint8Array, start: number): number {
  const first = bytes[start] ?? 0;
  if (first === QUOTE) return stringEnd(bytes, start);
  const literal = first > NINE ? LITERALS.get(first) : undefined;
  if (!literal) return numberEnd(bytes, start);
  let at = start;
  for (const code of literal) if (bytes[at++] !== code) throw noJson();
  return at;
}

function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  for (let byte = bytes[at++]; byte !== QUOTE; byte = bytes[at++]) {
    if (byte === undefined || byte < BLANK) throw noJson();
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[at++] ?? 0;
    if (escaped === U) {
      for (const end = at + 4; at < end; at++) if (NIBBLE[bytes[at] ?? 0] === NO_DIGIT) throw noJson();
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
  while ((bytes[at] as number) >= ZERO && (bytes[at] as number) <= NINE) at += 1;
  if (at === start) throw noJson();
  return at;
}

function noJson(): SyntaxError {
  return new SyntaxError("the body is no JSON");
}
