import { ENTRY_BYTES, KEY_BYTES, OFFSETS, ROWS_MAX, workingMemory } from "./working-memory.ts";

/**
 * The entry hash of each key, 8 bytes.
 *
 * @param keys key rows
 * @param secret 32 hex digits
 */
export function hashKeys(keys: Uint8Array, secret: string): Uint8Array<ArrayBuffer> {
  const half = (from: number) => {
    const digits = secret.slice(from, from + 16).match(/../g) ?? [];
    return BigInt(`0x${digits.reverse().join("")}`);
  };
  const [firstHalf, secondHalf] = [half(0), half(16)];
  return entriesOf(keys, (count) => workingMemory().module.hash(count, firstHalf, secondHalf));
}

/** The SHA-1 of each key, folded to 8 bytes. */
export function foldKeys(keys: Uint8Array): Uint8Array<ArrayBuffer> {
  return entriesOf(keys, (count) => workingMemory().module.fold(count));
}

/** The names of the keys whose mark is 0: `<sha1>:<size>`, the SHA-1 in lower-case hex. */
export function namesOf(keys: Uint8Array, marks: Uint8Array): string[] {
  const names: string[] = [];
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    const count = loadRows(keys, marks, from);
    const { module, memory } = workingMemory();
    const length = module.writeNames(count);
    const lines = new TextDecoder().decode(memory.subarray(OFFSETS.BODY, OFFSETS.BODY + length)).split("\n");
    lines.pop();
    names.push(...lines);
  }
  return names;
}

/** The sum of the sizes of the keys whose mark is not 0, in bytes. */
export function sizesOf(keys: Uint8Array, marks: Uint8Array): number {
  let bytes = 0;
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    bytes += workingMemory().module.sumSizes(loadRows(keys, marks, from));
  }
  return bytes;
}

/** Copies keys and marks into the memory, from one row on. @returns how many */
function loadRows(keys: Uint8Array, marks: Uint8Array, from: number): number {
  const batch = marks.subarray(from, from + ROWS_MAX);
  const { memory } = workingMemory();
  memory.set(keys.subarray(KEY_BYTES * from, KEY_BYTES * (from + batch.length)), OFFSETS.KEYS);
  memory.set(batch, OFFSETS.MARKS);
  return batch.length;
}

/** @param writeEntries writes the entries of the first `count` keys in the memory */
function entriesOf(keys: Uint8Array, writeEntries: (count: number) => void): Uint8Array<ArrayBuffer> {
  const total = keys.length / KEY_BYTES;
  const entries = new Uint8Array(ENTRY_BYTES * total);
  for (let from = 0; from < total; from += ROWS_MAX) {
    const { memory } = workingMemory();
    const count = Math.min(ROWS_MAX, total - from);
    memory.set(keys.subarray(KEY_BYTES * from, KEY_BYTES * (from + count)), OFFSETS.KEYS);
    writeEntries(count);
    entries.set(memory.subarray(OFFSETS.ENTRIES, OFFSETS.ENTRIES + ENTRY_BYTES * count), ENTRY_BYTES * from);
  }
  return entries;
}
