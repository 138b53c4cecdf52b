/** What is held in every fuzzed Worker: SHA-1 in lower case, and size in bytes. */
export const POOL: ReadonlyMap<string, number> = new Map(
  [0, 1, 35, 36, 100, 360, 4_095, 65_536, 70_000, 70_001, 536_870_912].flatMap((size, row) =>
    Array.from({ length: 12 }, (_, column) => [sha1(row, column), size] as const),
  ),
);

/** Spread over all first digits, with letters and digits. */
function sha1(row: number, column: number): string {
  const word = (Math.imul(row * 12 + column + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0");
  return word.repeat(5);
}

/** All of it as a request has it. */
export const POOL_BODY = JSON.stringify({
  resources: [...POOL].map(([value, size_in_bytes]) => ({
    checksum: { value },
    size_in_bytes,
    mode: "7777",
  })),
});
