/**
 * The snapshot's binary format, version 1. Little-endian, so that a file opens as typed arrays, without parsing.
 *
 *     0   uint32     magic, "RMSP"
 *     4   uint32     version
 *     8   uint32     count of entries
 *     12  uint32     number of the part, from 0
 *     16  48 bytes   id of the snapshot, ASCII, padded with zeros
 *     64  uint32[count]      bytes 0 to 3 of each SHA-1, as a big-endian value
 *         uint32[2 * count]  of each: bytes 4 to 7 of the SHA-1, size in bytes
 *
 * Entries are sorted by SHA-1, then size, within a part and from part to part. What a look-up searches lies close
 * together, and what it compares at the end does too.
 */
const MAGIC = 0x50534d52;
export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 64;
export const ENTRY_BYTES = 12;

const ID_OFFSET = 16;
export const ID_MAX_CHARACTERS = HEADER_BYTES - ID_OFFSET;

/** Sizes that an entry can hold; larger files stay with the keys. */
export const SIZE_MAX = 0xffff_ffff;

/** Sorted entries. */
export interface Entries {
  /** Bytes 0 to 3 of each SHA-1. */
  heads: Uint32Array;
  /** Bytes 4 to 7 of each SHA-1, and the size in bytes, in turn. */
  tails: Uint32Array;
}

/** One part as it is stored: the entries are views of `bytes`, and may be filled in place. */
export interface PartBuffer extends Entries {
  bytes: Uint8Array;
}

/** A part with room for `count` entries. */
export function createPart(id: string, number: number, count: number): PartBuffer {
  const buffer = new ArrayBuffer(HEADER_BYTES + ENTRY_BYTES * count);
  new Uint32Array(buffer, 0, 4).set([MAGIC, FORMAT_VERSION, count, number]);
  new TextEncoder().encodeInto(id, new Uint8Array(buffer, ID_OFFSET, ID_MAX_CHARACTERS));
  return { bytes: new Uint8Array(buffer), ...entriesOf(buffer, count) };
}

/**
 * The entries of a stored part, which are views of `buffer`.
 *
 * @throws where it is not this very part: cut off, of another version, of another snapshot
 */
export function openPart(buffer: ArrayBuffer, id: string, number: number): Entries {
  if (buffer.byteLength < HEADER_BYTES) throw new Error("cut off within the header");
  const [magic, version, count = 0, storedNumber] = new Uint32Array(buffer, 0, 4);
  if (magic !== MAGIC) throw new Error("no snapshot");
  if (version !== FORMAT_VERSION)
    throw new Error(`version ${version}, where ${FORMAT_VERSION} is understood`);
  const storedId = new TextDecoder()
    .decode(new Uint8Array(buffer, ID_OFFSET, ID_MAX_CHARACTERS))
    .replace(/\0+$/, "");
  if (storedId !== id || storedNumber !== number) throw new Error(`part ${storedNumber} of ${storedId}`);
  const expected = HEADER_BYTES + ENTRY_BYTES * count;
  if (buffer.byteLength !== expected) throw new Error(`${buffer.byteLength} bytes, where ${expected} belong`);
  return entriesOf(buffer, count);
}

function entriesOf(buffer: ArrayBuffer, count: number): Entries {
  return {
    heads: new Uint32Array(buffer, HEADER_BYTES, count),
    tails: new Uint32Array(buffer, HEADER_BYTES + 4 * count, 2 * count),
  };
}
