import { FORMAT_VERSION } from "./manifest.ts";

/** "RMPV". */
const MAGIC = 0x56504d52;
const HEADER_BYTES = 64;
const NAME_OFFSET = 16;
const ENTRY_BYTES = 8;

/**
 * A delta, or a part of a snapshot: entry hashes, ascending. STORAGE.md has the layout. It is little-endian, so that it opens as
 * typed arrays without parsing.
 */
export interface PackedValue {
  added: BigUint64Array<ArrayBuffer>;
  removed: BigUint64Array<ArrayBuffer>;
}

export function pack(name: string, { added, removed }: PackedValue): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + ENTRY_BYTES * (added.length + removed.length));
  new Uint32Array(bytes.buffer, 0, 4).set([MAGIC, FORMAT_VERSION, added.length, removed.length]);
  const { read } = new TextEncoder().encodeInto(name, bytes.subarray(NAME_OFFSET, HEADER_BYTES));
  if (read < name.length) throw new Error(`the name ${name} is longer than 48 bytes`);
  const entries = new BigUint64Array(bytes.buffer, HEADER_BYTES);
  entries.set(added);
  entries.set(removed, added.length);
  return bytes;
}

/**
 * @param name the name under which it was stored
 * @returns views of `buffer`
 * @throws if the value is cut off, or has another version or name
 */
export function unpack(buffer: ArrayBuffer, name: string): PackedValue {
  if (buffer.byteLength < HEADER_BYTES) throw new Error(`${name} is cut off within the header`);
  const [magic, version, added = 0, removed = 0] = new Uint32Array(buffer, 0, 4);
  if (magic !== MAGIC) throw new Error(`${name} is not a packed value`);
  if (version !== FORMAT_VERSION) throw new Error(`${name} has version ${version}, not ${FORMAT_VERSION}`);
  const nameBytes = new Uint8Array(buffer, NAME_OFFSET, HEADER_BYTES - NAME_OFFSET);
  const storedName = new TextDecoder().decode(nameBytes).replace(/\0+$/, "");
  if (storedName !== name) throw new Error(`${name} has the content of ${storedName}`);
  const expected = HEADER_BYTES + ENTRY_BYTES * (added + removed);
  if (buffer.byteLength !== expected) {
    throw new Error(`${name} has ${buffer.byteLength} bytes, not ${expected}`);
  }
  return {
    added: new BigUint64Array(buffer, HEADER_BYTES, added),
    removed: new BigUint64Array(buffer, HEADER_BYTES + ENTRY_BYTES * added, removed),
  };
}
