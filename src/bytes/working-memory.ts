import { ensureCapacity, instantiate } from "./module.ts";

/** A key row, as `assembly/layout.ts` defines it: SHA-1, permissions and size. */
export const KEY_BYTES = 32;
export const KEY_PERMISSIONS = 20;
export const KEY_SIZE = 24;
export const SHA1_BYTES = 20;
/** An entry hash or a content. */
export const ENTRY_BYTES = 8;
/** The module reads and writes up to this many bytes beyond the end of its input and output. */
export const PADDING_BYTES = 64;

// Created with the isolate, so that no request waits for it.
const module = instantiate();

const exportedNumber = (name: Uppercase<string>) => Number(module[name]?.value);

/** Where the tables are in the memory. */
export const OFFSETS = {
  COUNTS: exportedNumber("COUNTS"),
  KEYS: exportedNumber("KEYS"),
  SPANS: exportedNumber("SPANS"),
  EXCLUDED: exportedNumber("EXCLUDED"),
  ENTRIES: exportedNumber("ENTRIES"),
  MARKS: exportedNumber("MARKS"),
  BODY: exportedNumber("BODY"),
};
/** The rows of each table. */
export const ROWS_MAX = exportedNumber("ROWS_MAX");
export const CHUNK_BYTES = exportedNumber("CHUNK_BYTES");
/** The longest path or mode that may match: bytes of JSON, quotes included. */
export const TEXT_MAX_BYTES = exportedNumber("TEXT_MAX_BYTES");

/**
 * The memory that all requests share. Each call writes all its input first and copies its output, so that no request reads
 * what another one left. It never grows beyond 3 MB.
 *
 * @param bodyBytes needed at `OFFSETS.BODY`
 */
export function workingMemory(bodyBytes = CHUNK_BYTES) {
  ensureCapacity(module, OFFSETS.BODY + bodyBytes + PADDING_BYTES);
  return { module, memory: new Uint8Array(module.memory.buffer as ArrayBuffer) };
}
