import { type Bytes, extend, instantiate } from "./module.ts";

/** Rows of keys, as `assembly/layout.ts` has them: SHA-1, permissions and size. */
export const KEY_BYTES = 32;
export const KEY_PERMISSIONS = 20;
export const KEY_SIZE = 24;
export const SHA1_BYTES = 20;
/** An entry hash or a content. */
export const ENTRY_BYTES = 8;
/** What is read or written beyond an end, at most. */
export const SLACK = 64;

/**
 * The memory in which requests are worked on piece by piece, one call after the other. Each call brings all that it works
 * on, and takes its outcome away: nothing that one request leaves behind is read by another. It never grows beyond 3 MB.
 */
interface Workspace {
  module: Bytes;
  memory: Uint8Array<ArrayBuffer>;
}

// With the isolate: no request waits for it.
const module = instantiate();

const placeOf = (name: Uppercase<string>) => Number(module[name]?.value);

/** Where things lie in it, and how much is worked on at a time. */
export const AT = {
  COUNTS: placeOf("COUNTS"),
  KEYS: placeOf("KEYS"),
  PLACES: placeOf("PLACES"),
  LACKING: placeOf("LACKING"),
  ENTRIES: placeOf("ENTRIES"),
  MARKS: placeOf("MARKS"),
  GUESSES: placeOf("GUESSES"),
  BODY: placeOf("BODY"),
};
export const ROWS_MAX = placeOf("ROWS_MAX");
export const PIECE_BYTES = placeOf("PIECE_BYTES");
/** Bytes of a path or a mode as JSON, its quotes included, with which a resource may match. */
export const TEXT_MAX_BYTES = placeOf("TEXT_MAX_BYTES");

/** @param bytes that there is to be room for from `AT.BODY` on */
export function workspace(bytes = PIECE_BYTES): Workspace {
  extend(module, AT.BODY + bytes + SLACK);
  return { module, memory: new Uint8Array(module.memory.buffer as ArrayBuffer) };
}
