/** The pool of every fuzzed Worker: sizes in bytes, by SHA-1 in lower case. */
export const POOL: ReadonlyMap<string, number> = new Map(
  [0, 1, 35, 36, 100, 360, 4_095, 65_536, 70_000, 70_001, 536_870_912].flatMap((size, row) =>
    Array.from({ length: 12 }, (_, column) => [sha1(row, column), size] as const),
  ),
);

/** All first digits occur, and both letters and digits. */
function sha1(row: number, column: number): string {
  const word = (Math.imul(row * 12 + column + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0");
  return word.repeat(5);
}

/** A request for all of it. */
export const POOL_BODY = JSON.stringify({
  resources: [...POOL].map(([value, size_in_bytes]) => ({
    checksum: { value },
    size_in_bytes,
    mode: "7777",
  })),
});
