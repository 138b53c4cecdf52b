import { AT, ENTRY_BYTES, KEY_BYTES, ROWS_MAX, workspace } from "./workspace.ts";

/**
 * The entry hash of each key, 8 bytes.
 *
 * @param keys rows as a scan finds them
 * @param secret 32 hex digits
 */
export function hashKeys(keys: Uint8Array, secret: string): Uint8Array<ArrayBuffer> {
  const half = (from: number) => {
    const digits = secret.slice(from, from + 16).match(/../g) ?? [];
    return BigInt(`0x${digits.reverse().join("")}`);
  };
  const [firstHalf, secondHalf] = [half(0), half(16)];
  return entriesOf(keys, (count) => workspace().module.hash(count, firstHalf, secondHalf));
}

/** The content of each key: its SHA-1 folded to 8 bytes. */
export function foldKeys(keys: Uint8Array): Uint8Array<ArrayBuffer> {
  return entriesOf(keys, (count) => workspace().module.fold(count));
}

/** The names of those keys whose mark is 0: `<sha1>:<size>`, the SHA-1 in lower-case hex. */
export function namesOf(keys: Uint8Array, marks: Uint8Array): string[] {
  const all: string[] = [];
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    const { module, memory } = workspace();
    const some = marks.subarray(from, from + ROWS_MAX);
    memory.set(keys.subarray(KEY_BYTES * from, KEY_BYTES * (from + some.length)), AT.KEYS);
    memory.set(some, AT.MARKS);
    const length = module.writeNames(some.length);
    const names = new TextDecoder().decode(memory.subarray(AT.BODY, AT.BODY + length)).split("\n");
    names.pop();
    all.push(...names);
  }
  return all;
}

/** The sizes together of those keys whose mark is not 0, in bytes. */
export function sizesOf(keys: Uint8Array, marks: Uint8Array): number {
  let bytes = 0;
  for (let from = 0; from < marks.length; from += ROWS_MAX) {
    const { module, memory } = workspace();
    const some = marks.subarray(from, from + ROWS_MAX);
    memory.set(keys.subarray(KEY_BYTES * from, KEY_BYTES * (from + some.length)), AT.KEYS);
    memory.set(some, AT.MARKS);
    bytes += module.sumSizes(some.length);
  }
  return bytes;
}

/** @param work writes the entries of so many keys */
function entriesOf(keys: Uint8Array, work: (count: number) => void): Uint8Array<ArrayBuffer> {
  const count = keys.length / KEY_BYTES;
  const all = new Uint8Array(ENTRY_BYTES * count);
  for (let from = 0; from < count; from += ROWS_MAX) {
    const { memory } = workspace();
    const rows = Math.min(ROWS_MAX, count - from);
    memory.set(keys.subarray(KEY_BYTES * from, KEY_BYTES * (from + rows)), AT.KEYS);
    work(rows);
    all.set(memory.subarray(AT.ENTRIES, AT.ENTRIES + ENTRY_BYTES * rows), ENTRY_BYTES * from);
  }
  return all;
}
