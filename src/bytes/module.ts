/** The compiled module; the one place that imports it, for what runs outside workerd to put something else in its place. */
import module from "./module.wasm";

/** What `assembly/index.ts` exports. */
export interface Bytes {
  memory: WebAssembly.Memory;
  scan(
    length: number,
    offset: number,
    room: number,
    minimumSize: number,
    maximumSize: number,
    modeBits: number,
  ): number;
  hash(count: number, firstHalf: bigint, secondHalf: bigint): void;
  fold(count: number): void;
  index(words: number, count: number, directory: number, bits: number): void;
  mark(
    words: number,
    count: number,
    directory: number,
    bits: number,
    asked: number,
    askedCount: number,
    marks: number,
    value: number,
    guesses: number,
  ): number;
  write(count: number, offset: number, target: number): number;
  writeNames(count: number): number;
  sumSizes(count: number): number;
  /** Where things lie in the memory. */
  [place: Uppercase<string>]: WebAssembly.Global;
}

/** A memory of its own, a page of 64 KiB at first. */
export function instantiate(): Bytes {
  return new WebAssembly.Instance(module, {}).exports as unknown as Bytes;
}

const PAGE_BYTES = 65_536;

/** Sees to it that a memory has so many bytes. */
export function extend({ memory }: Bytes, bytes: number): void {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
}
