import { type Bytes, extend, instantiate } from "./module.ts";

/** Rows of keys, as `assembly/layout.ts` has them: SHA-1, permissions and size. */
export const KEY_BYTES = 32;
export const KEY_PERMISSIONS = 20;
export const KEY_SIZE = 24;
/** Rows of places in the body. */
export const PLACE_BYTES = 32;
export const PLACE_MODE = 20;
export const PLACE_MODE_END = 24;

const ROWS_MAX = 5_000;
const SLACK = 64;
const ENTRY_BYTES = 8;
export const SHA1_BYTES = 20;
/** `<sha1>:<size>` and the end of the line. */
const NAME_MAX_BYTES = 58;
/** A set that is larger is looked up in part by part: 512 KiB. */
const SET_PART = 65_536;
/** A larger body gets a memory that is dropped with it. */
const KEPT_BODY_MAX_BYTES = 2 * 1024 * 1024;

/** What a scan has found; all of it is a copy. */
export interface Scanned {
  /** How many resources there are. */
  count: number;
  /** Of each candidate a row of keys, and one of places. */
  keys: Uint8Array<ArrayBuffer>;
  places: Uint8Array<ArrayBuffer>;
  /** 20 bytes of each SHA-1 whose mode lacks bits. */
  lacking: Uint8Array<ArrayBuffer>;
}

/** Which resources are candidates, and which modes lack bits. */
export interface ScanRules {
  minimumSize: number;
  maximumSize: number;
  minimumFileMode: number | undefined;
}

/**
 * The memory of the isolate in which requests are worked on, one call after the other. Each call brings all that it
 * works on, and takes its outcome away: nothing that one request leaves behind is read by another.
 */
class Workspace {
  readonly #bytes: Bytes;
  readonly #places: Record<
    "COUNTS" | "KEYS" | "PLACES" | "LACKING" | "ENTRIES" | "MARKS" | "GUESSES" | "BODY",
    number
  >;

  constructor() {
    this.#bytes = instantiate();
    const placeOf = (name: Uppercase<string>) => Number(this.#bytes[name]?.value);
    this.#places = {
      COUNTS: placeOf("COUNTS"),
      KEYS: placeOf("KEYS"),
      PLACES: placeOf("PLACES"),
      LACKING: placeOf("LACKING"),
      ENTRIES: placeOf("ENTRIES"),
      MARKS: placeOf("MARKS"),
      GUESSES: placeOf("GUESSES"),
      BODY: placeOf("BODY"),
    };
  }

  scan(body: Uint8Array, { minimumSize, maximumSize, minimumFileMode = 0 }: ScanRules): Scanned | undefined {
    const { COUNTS, KEYS, PLACES, LACKING, BODY } = this.#places;
    const memory = this.#memory(body.length + SLACK);
    memory.set(body, BODY);
    const count = this.#bytes.scan(body.length, minimumSize, maximumSize, minimumFileMode);
    if (count === 0) return undefined;
    const [candidates = 0, lacking = 0] = new Uint32Array(memory.buffer, COUNTS, 2);
    return {
      count,
      keys: memory.slice(KEYS, KEYS + KEY_BYTES * candidates),
      places: memory.slice(PLACES, PLACES + PLACE_BYTES * candidates),
      lacking: memory.slice(LACKING, LACKING + SHA1_BYTES * lacking),
    };
  }

  hash(keys: Uint8Array, firstHalf: bigint, secondHalf: bigint): Uint8Array<ArrayBuffer> {
    const { KEYS, ENTRIES } = this.#places;
    const memory = this.#memory();
    const count = keys.length / KEY_BYTES;
    memory.set(keys, KEYS);
    this.#bytes.hash(count, firstHalf, secondHalf);
    return memory.slice(ENTRIES, ENTRIES + ENTRY_BYTES * count);
  }

  fold(keys: Uint8Array): Uint8Array<ArrayBuffer> {
    const { KEYS, ENTRIES } = this.#places;
    const memory = this.#memory();
    const count = keys.length / KEY_BYTES;
    memory.set(keys, KEYS);
    this.#bytes.fold(count);
    return memory.slice(ENTRIES, ENTRIES + ENTRY_BYTES * count);
  }

  names(keys: Uint8Array, marks: Uint8Array): string {
    const { KEYS, MARKS, BODY } = this.#places;
    const memory = this.#memory(NAME_MAX_BYTES * marks.length);
    memory.set(keys, KEYS);
    memory.set(marks, MARKS);
    const length = this.#bytes.writeNames(marks.length);
    return new TextDecoder().decode(memory.subarray(BODY, BODY + length));
  }

  mark(words: BigUint64Array, asked: Uint8Array, marks: Uint8Array, value: number): void {
    const { COUNTS, ENTRIES, MARKS, GUESSES, BODY } = this.#places;
    const memory = this.#memory(ENTRY_BYTES * SET_PART);
    memory.set(asked, ENTRIES);
    memory.set(marks, MARKS);
    for (let from = 0; from < words.length; from += SET_PART) {
      const part = words.subarray(from, from + SET_PART);
      new BigUint64Array(memory.buffer, BODY, part.length).set(part);
      new Uint32Array(memory.buffer, COUNTS, 2).set([0, part.length]);
      this.#bytes.mark(BODY, part.length, COUNTS, 0, ENTRIES, marks.length, MARKS, value, GUESSES);
    }
    marks.set(memory.subarray(MARKS, MARKS + marks.length));
  }

  write(body: Uint8Array, places: Uint8Array, marks: Uint8Array): Uint8Array<ArrayBuffer> {
    const { PLACES, MARKS, BODY } = this.#places;
    const target = BODY + body.length + SLACK;
    // An answer is no longer than its request.
    const memory = this.#memory(2 * (body.length + SLACK));
    memory.set(body, BODY);
    memory.set(places, PLACES);
    memory.set(marks, MARKS);
    const length = this.#bytes.write(marks.length, target);
    return memory.slice(target, target + length);
  }

  /** The memory, with room for so many bytes from where the body lies. */
  #memory(bytes = 0): Uint8Array<ArrayBuffer> {
    extend(this.#bytes, this.#places.BODY + bytes + SLACK);
    return new Uint8Array(this.#bytes.memory.buffer as ArrayBuffer);
  }
}

let kept: Workspace | undefined;

function workspace(bodyBytes = 0): Workspace {
  if (bodyBytes > KEPT_BODY_MAX_BYTES) return new Workspace();
  kept ??= new Workspace();
  return kept;
}

/** Reads a request from its bytes; undefined for all that is not of the usual form, which may be right or wrong. */
export function scan(body: Uint8Array, rules: ScanRules): Scanned | undefined {
  return workspace(body.length).scan(body, rules);
}

/**
 * The answer that names the marked candidates, in their order.
 *
 * @param body in which the places are
 * @param marks of each candidate, 0 or another number
 */
export function write(body: Uint8Array, places: Uint8Array, marks: Uint8Array): Uint8Array<ArrayBuffer> {
  return workspace(body.length).write(body, places, marks);
}

/**
 * The entry hash of each key.
 *
 * @param secret 32 hex digits
 */
export function hashKeys(keys: Uint8Array, secret: string): Uint8Array<ArrayBuffer> {
  const half = (from: number) => {
    const digits = secret.slice(from, from + 16).match(/../g) ?? [];
    return BigInt(`0x${digits.reverse().join("")}`);
  };
  const [firstHalf, secondHalf] = [half(0), half(16)];
  return inParts(keys, KEY_BYTES, (part) => workspace().hash(part, firstHalf, secondHalf));
}

/** The content of each key: its SHA-1 folded to 8 bytes. */
export function foldKeys(keys: Uint8Array): Uint8Array<ArrayBuffer> {
  return inParts(keys, KEY_BYTES, (part) => workspace().fold(part));
}

/** The names of those keys whose mark is 0: `<sha1>:<size>`, the SHA-1 in lower-case hex. */
export function namesOf(keys: Uint8Array, marks: Uint8Array): string[] {
  const names = workspace().names(keys, marks).split("\n");
  names.pop();
  return names;
}

/**
 * Sets to `value` the mark of each asked word that is in a set.
 *
 * @param set ascending
 * @param asked 8 bytes a word
 * @param marks one a word
 */
export function markHeld(set: BigUint64Array, asked: Uint8Array, marks: Uint8Array, value: number): void {
  if (set.length === 0) return;
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    const end = Math.min(from + ROWS_MAX, marks.length);
    const some = asked.subarray(ENTRY_BYTES * from, ENTRY_BYTES * end);
    workspace().mark(set, some, marks.subarray(from, end), value);
  }
}

/** As many rows at a time as there is room for; `work` makes 8 bytes of each. */
function inParts(
  rows: Uint8Array,
  rowBytes: number,
  work: (part: Uint8Array) => Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const partBytes = ROWS_MAX * rowBytes;
  if (rows.length <= partBytes) return work(rows);
  const all = new Uint8Array((rows.length / rowBytes) * ENTRY_BYTES);
  for (let from = 0; from < rows.length; from += partBytes) {
    all.set(work(rows.subarray(from, from + partBytes)), (from / rowBytes) * ENTRY_BYTES);
  }
  return all;
}
