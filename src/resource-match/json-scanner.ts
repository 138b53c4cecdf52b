import {
  BLANK,
  blanksEnd,
  COLON,
  COMMA,
  IS_SPACE,
  isMeant,
  NINE,
  nameEnd,
  noJson,
  QUOTE,
  scalarEnd,
  stringEnd,
  ZERO,
} from "./json-tokens.ts";

export const ARRAY = 0x5b;
export const OBJECT = 0x7b;
/** From the bracket that opens to the one that closes, of both kinds. */
const TO_CLOSE = 2;

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
  /** Of each level that `value` is in a bit: whether it is an object. Of all others it is 0. */
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
    return isMeant(name, this.bytes, this.#nameStart, this.#nameEnd);
  }

  /** Passes a value. */
  value(): void {
    this.#pass(0);
  }

  /** Passes the rest of an array, from behind a comma. */
  restOfArray(): void {
    this.#pass(1);
  }

  /** Passes values until it has left that many levels, and one value where that is none. */
  #pass(levelsBefore: number): void {
    const { bytes } = this;
    const { length } = bytes;
    let { at } = this;
    let depth = levelsBefore;
    let isObject = false;
    let isOpened = false;
    let isValueNext = true;
    do {
      if (at >= length) throw noJson();
      const byte = bytes[at] as number;
      if (byte <= BLANK && IS_SPACE[byte]) at = blanksEnd(bytes, at + 1);
      else if (byte === (isObject ? OBJECT : ARRAY) + TO_CLOSE && (isOpened || !isValueNext) && depth > 0) {
        at += 1;
        depth -= 1;
        if (isObject) this.#levels[depth >> 3] = this.#levelsAt(depth) & ~(1 << (depth & 7));
        isObject = depth > 0 && ((this.#levelsAt(depth - 1) >> ((depth - 1) & 7)) & 1) === 1;
        isOpened = false;
        isValueNext = false;
      } else if (!isValueNext) {
        if (byte !== COMMA) throw noJson();
        at = isObject ? nameEnd(bytes, at + 1) : at + 1;
        isValueNext = true;
      } else if (isOpened && isObject) {
        at = nameEnd(bytes, at);
        isOpened = false;
      } else if (byte === ARRAY || byte === OBJECT) {
        isObject = byte === OBJECT;
        if (isObject) this.#levels[depth >> 3] = this.#levelsAt(depth) | (1 << (depth & 7));
        at += 1;
        depth += 1;
        isOpened = true;
      } else {
        // Here and not in a function, whole numbers take half the time.
        let end = at;
        while (end < length && (bytes[end] as number) >= ZERO && (bytes[end] as number) <= NINE) end += 1;
        const isWhole = end > at && byte !== ZERO && end < length && (bytes[end] as number) <= COMMA;
        at = isWhole ? end : scalarEnd(bytes, at);
        isOpened = false;
        isValueNext = false;
      }
    } while (depth > 0 || isValueNext);
    this.at = at;
  }

  #levelsAt(depth: number): number {
    return this.#levels[depth >> 3] as number;
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
