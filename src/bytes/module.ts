/** The compiled module. Only this file imports it, so that code outside workerd can substitute another loader. */
import module from "./module.wasm";

/** The exports of `assembly/index.ts`. */
export interface BytesModule {
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
    set: number,
    setCount: number,
    directory: number,
    bits: number,
    wordCount: number,
    value: number,
  ): number;
  write(count: number, offset: number, target: number): number;
  writeNames(count: number): number;
  sumSizes(count: number): number;
  /** Offsets and sizes of `layout.ts`. */
  [name: Uppercase<string>]: WebAssembly.Global;
}

/** Creates an instance with its own memory, at first 64 KiB. */
export function instantiate(): BytesModule {
  return new WebAssembly.Instance(module, {}).exports as unknown as BytesModule;
}

const PAGE_BYTES = 65_536;

/** Grows the memory to at least this many bytes. */
export function ensureCapacity({ memory }: BytesModule, bytes: number): void {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
}
