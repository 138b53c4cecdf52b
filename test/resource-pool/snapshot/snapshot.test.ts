import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Addition } from "../../../src/resource-pool/snapshot/addition.ts";
import {
  createPart,
  ENTRY_BYTES,
  HEADER_BYTES,
  openPart,
} from "../../../src/resource-pool/snapshot/format.ts";
import { Snapshot } from "../../../src/resource-pool/snapshot/snapshot.ts";
import { MemoryStore, sha1At } from "../../support/snapshots.ts";

type Entry = [sha1: string, size: number];

/** Packs entries as the snapshot does, in parts of `partEntries`. */
async function pack(entries: readonly Entry[], partEntries = Number.POSITIVE_INFINITY): Promise<Snapshot> {
  const addition = new Addition();
  for (const [sha1, size] of entries) addition.add(sha1, size);
  const store = new MemoryStore();
  const { id, parts } = await addition.write(store, "", 0);
  const stored = Array.from({ length: parts }, (_, number) => {
    const bytes = store.values.get(`snapshot/part/${id}/${number}`) as Uint8Array;
    return openPart(bytes.slice().buffer, id, number);
  });
  if (partEntries === Number.POSITIVE_INFINITY) return new Snapshot(id, stored);
  const split = stored.flatMap(({ heads, tails }) =>
    Array.from({ length: Math.ceil(heads.length / partEntries) }, (_, part) => ({
      heads: heads.subarray(part * partEntries, (part + 1) * partEntries),
      tails: tails.subarray(2 * part * partEntries, 2 * (part + 1) * partEntries),
    })),
  );
  return new Snapshot(id, split);
}

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));

describe("the snapshot and a plain Set say the same", () => {
  it("of a million look-ups, half of them of what is held", async () => {
    const sha1s = Array.from({ length: 200_000 }, (_, index) => sha1At(index));
    const held = sha1s.slice(0, 100_000).map((sha1, index): Entry => [sha1, index % 5000]);
    const plain = new Set(held.map(([sha1, size]) => `${sha1}:${size}`));
    const snapshot = await pack(held, 15_000);
    expect(snapshot.entries).toBe(plain.size);
    let differences = 0;
    for (let round = 0; round < 5; round++) {
      // In another order each time, and with a size that is wrong now and then.
      const wanted = sha1s.map((_, index) => {
        const seed = (index * 7919 + round) % sha1s.length;
        const value = sha1s[seed] as string;
        return { checksum: { value }, size_in_bytes: seed % (index % 3 === round ? 5001 : 5000) };
      });
      for (const [index, isHeld] of snapshot.hasEach(wanted).entries()) {
        const { checksum, size_in_bytes } = wanted[index] as (typeof wanted)[number];
        if ((isHeld === 1) !== plain.has(`${checksum.value}:${size_in_bytes}`)) differences += 1;
      }
    }
    expect(differences).toBe(0);
  });

  it("of any pool, however its checksums are spread, and in parts of any size", async () => {
    // Few different heads make long equal runs, within a part and across parts.
    const head = fc.oneof(
      hex(8),
      fc.constantFrom("00000000", "00000001", "7fffffff", "80000000", "ffffffff"),
    );
    const tail = fc.oneof(hex(8), fc.constantFrom("00000000", "ffffffff"));
    const size = fc.oneof(fc.nat(3), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1));
    const entry = fc.tuple(head, tail, size);
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 300 }),
        fc.array(entry),
        fc.integer({ min: 1, max: 50 }),
        async (pool, others, parts) => {
          const full = ([first, second, bytes]: [string, string, number]): Entry => [
            `${first}${second}${"0".repeat(24)}`,
            bytes,
          ];
          const fits = pool.map(full).filter(([, bytes]) => bytes < 2 ** 32);
          const plain = new Set(fits.map((each) => each.join()));
          const snapshot = await pack(pool.map(full), parts);
          const asked = [...pool, ...others].map(full);
          for (const each of asked) {
            expect(snapshot.has(...each), each.join()).toBe(plain.has(each.join()));
          }
          const together = snapshot.hasEach(
            asked.map(([value, bytes]) => ({ checksum: { value }, size_in_bytes: bytes })),
          );
          expect([...together]).toEqual(asked.map((each) => (plain.has(each.join()) ? 1 : 0)));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("of neighbours: another size, another byte, another letter case", async () => {
    const sha1 = "00112233445566778899aabbccddeeff00112233";
    const snapshot = await pack([[sha1, 36]]);
    expect(snapshot.has(sha1, 36)).toBe(true);
    expect(snapshot.has(sha1.toUpperCase(), 36)).toBe(true);
    for (const size of [0, 35, 37, 36 + 2 ** 32]) expect(snapshot.has(sha1, size)).toBe(false);
    for (let index = 0; index < 16; index++) {
      const other =
        sha1.slice(0, index) +
        ((Number.parseInt(sha1[index] ?? "", 16) + 1) % 16).toString(16) +
        sha1.slice(index + 1);
      expect(snapshot.has(other, 36), other).toBe(false);
    }
  });

  it("of checksums that somebody has chosen, which are not spread at all", async () => {
    const held = Array.from(
      { length: 5_000 },
      (_, index): Entry => [index.toString(16).padStart(8, "0").padEnd(40, "0"), 1],
    );
    const far: Entry = ["f".repeat(40), 1];
    const middle = Array.from(
      { length: 5_000 },
      (_, index): Entry => [(0x80000000 + index * 3).toString(16).padEnd(40, "0"), 1],
    );
    const snapshot = await pack([...held, ...middle, far]);
    for (const entry of [...held, ...middle, far]) expect(snapshot.has(...entry), entry[0]).toBe(true);
    for (const [sha1] of middle) {
      expect(snapshot.has((Number.parseInt(sha1.slice(0, 8), 16) + 1).toString(16).padEnd(40, "0"), 1)).toBe(
        false,
      );
    }
  });

  it("of an empty pool", async () => {
    expect((await pack([])).has(sha1At(1), 0)).toBe(false);
  });
});

describe("the format", () => {
  // 2 entries of snapshot "v1": written down once, so that a change of the format is seen.
  const VECTOR =
    "524d5350" + // RMSP, as uint32 50534d52
    "" +
    "01000000" +
    "02000000" +
    "00000000" +
    `7631${"00".repeat(46)}` +
    "33221100ddccbbaa" +
    "7766554424000000" +
    "44332211ffffffff";
  const bytesOf = (text: string) =>
    Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const ENTRIES: Entry[] = [
    ["0011223344556677000000000000000000000000", 36],
    ["aabbccdd11223344000000000000000000000000", 2 ** 32 - 1],
  ];

  it("is what was written down", () => {
    const part = createPart("v1", 0, 2);
    part.heads.set([0x00112233, 0xaabbccdd]);
    part.tails.set([0x44556677, 36, 0x11223344, 2 ** 32 - 1]);
    expect(part.bytes).toEqual(bytesOf(VECTOR));
    const snapshot = new Snapshot("v1", [openPart(bytesOf(VECTOR).buffer, "v1", 0)]);
    for (const entry of ENTRIES) expect(snapshot.has(...entry)).toBe(true);
  });

  it("takes 12 bytes an entry and 64 for a part", () => {
    expect(createPart("id", 3, 1000).bytes.byteLength).toBe(12_064);
    expect(HEADER_BYTES + ENTRY_BYTES * 10_000).toBeLessThanOrEqual(12.1 * 10_000);
  });

  it.each<[string, Uint8Array, string, number]>([
    ["cut off", bytesOf(VECTOR).slice(0, -1), "v1", 0],
    ["cut off within the header", bytesOf(VECTOR).slice(0, 20), "v1", 0],
    ["empty", new Uint8Array(), "v1", 0],
    ["longer than it says", bytesOf(`${VECTOR}00000000`), "v1", 0],
    ["something else", new TextEncoder().encode("<html>".repeat(20)), "v1", 0],
    ["of an older version", bytesOf(VECTOR.replace("01000000", "00000000")), "v1", 0],
    ["of a newer version", bytesOf(VECTOR.replace("01000000", "02000000")), "v1", 0],
    ["of another snapshot", bytesOf(VECTOR), "v2", 0],
    ["another part", bytesOf(VECTOR), "v1", 1],
  ])("a file that is %s is not opened", (_, bytes, id, number) => {
    expect(() => openPart(bytes.slice().buffer, id, number)).toThrow();
  });
});
