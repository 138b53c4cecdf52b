import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hashKeys } from "../../src/bytes/keys.ts";
import { markMembers } from "../../src/bytes/marks.ts";
import { SnapshotMemory } from "../../src/bytes/snapshot-memory.ts";
import { KEY_BYTES, KEY_SIZE } from "../../src/bytes/working-memory.ts";
import { pack, unpack } from "../../src/cache/packed-value.ts";
import { sha1Bytes, toHex } from "../../src/resources/sha1.ts";

const SECRET = "000102030405060708090a0b0c0d0e0f";

const fromHex = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

/** The hash of one resource, as the bytes that are stored. */
function hashOf(sha1: string, size: number, secret = SECRET): string {
  const key = new Uint8Array(KEY_BYTES);
  key.set(sha1Bytes(sha1));
  new DataView(key.buffer).setFloat64(KEY_SIZE, size, true);
  return toHex(hashKeys(key, secret));
}

/** SipHash-2-4 by its definition, in 64-bit integers. */
function sipHash(secret: Uint8Array, message: Uint8Array): bigint {
  const mask = (1n << 64n) - 1n;
  const turn = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & mask;
  const wordAt = (bytes: Uint8Array, at: number) =>
    bytes.slice(at, at + 8).reduce((word, byte, index) => word | (BigInt(byte) << BigInt(8 * index)), 0n);
  const [k0, k1] = [wordAt(secret, 0), wordAt(secret, 8)];
  let [a, b, c, d] = [
    k0 ^ 0x736f6d6570736575n,
    k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n,
    k1 ^ 0x7465646279746573n,
  ];
  const rounds = (count: number) => {
    for (let round = 0; round < count; round++) {
      a = (a + b) & mask;
      b = turn(b, 13n) ^ a;
      a = turn(a, 32n);
      c = (c + d) & mask;
      d = turn(d, 16n) ^ c;
      a = (a + d) & mask;
      d = turn(d, 21n) ^ a;
      c = (c + b) & mask;
      b = turn(b, 17n) ^ c;
      c = turn(c, 32n);
    }
  };
  const whole = message.length - (message.length % 8);
  for (let at = 0; at <= whole; at += 8) {
    const word = wordAt(message, at) | (at === whole ? BigInt(message.length & 0xff) << 56n : 0n);
    d ^= word;
    rounds(2);
    a ^= word;
  }
  c ^= 0xffn;
  rounds(4);
  return a ^ b ^ c ^ d;
}

describe("the entry hash", () => {
  it("computes the SipHash-2-4 test vector of its authors in the reference implementation", () => {
    const message = Uint8Array.from({ length: 15 }, (_, index) => index);
    expect(sipHash(fromHex(SECRET), message)).toBe(0xa129ca6149be45e5n);
  });

  it.each([
    ["0000000000000000000000000000000000000000", 0, "63ca3ace1214d326"],
    ["002d760bea1be268e27077412e11a320d0f164d3", 36, "16c8c5f7d0afdfaa"],
    ["ffffffffffffffffffffffffffffffffffffffff", Number.MAX_SAFE_INTEGER, "5cbb28b3154d233e"],
  ])("keeps the entry hash of SHA-1 %s and %i bytes across releases", (sha1, size, expected) => {
    expect(hashOf(sha1, size)).toBe(expected);
  });

  it("hashes an entry by SipHash-2-4 of the 20 bytes of the SHA-1 and the size as 8 little-endian bytes", () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const size = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1));
    fc.assert(
      fc.property(bytes(16), bytes(20), size, (secret, sha1, bytesOfFile) => {
        const message = new Uint8Array(28);
        message.set(sha1);
        new DataView(message.buffer).setBigUint64(20, BigInt(bytesOfFile), true);
        const stored = new Uint8Array(8);
        new DataView(stored.buffer).setBigUint64(0, sipHash(secret, message), true);
        expect(hashOf(toHex(sha1), bytesOfFile, toHex(secret))).toBe(toHex(stored));
      }),
      { numRuns: 500 },
    );
  });
});

describe("set membership agrees with a plain Set", () => {
  /** The words that are marked as members: by `markMembers`, and by a snapshot that is loaded in two parts. */
  function marked(present: readonly bigint[], words: readonly bigint[]): bigint[] {
    const set = BigUint64Array.from(present).sort();
    const entries = new Uint8Array(BigUint64Array.from(words).buffer);
    const marks = new Uint8Array(words.length);
    markMembers(set, entries, marks, 7);

    const half = Math.floor(set.length / 2);
    pool.begin(set.length);
    pool.put(set.subarray(0, half), 0);
    pool.put(set.subarray(half), half);
    pool.finish();
    const marksOfPool = new Uint8Array(words.length);
    pool.mark(entries, marksOfPool, 7);
    expect(marksOfPool).toEqual(marks);
    return words.filter((_, index) => marks[index] === 7);
  }
  // Shared, because one snapshot overwrites another.
  const pool = new SnapshotMemory();

  it("finds the members of a snapshot like a plain Set, for any distribution of entries", () => {
    // Few different high halves make long equal runs.
    const half = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff));
    const entry = fc.tuple(half, half).map(([high, low]) => (BigInt(high) << 32n) | BigInt(low));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 400 }), fc.array(entry), (present, others) => {
        const plain = new Set(present);
        const words = [...present, ...others];
        expect(marked(present, words)).toEqual(words.filter((each) => plain.has(each)));
      }),
      { numRuns: 300 },
    );
  });

  it("finds the members of a snapshot like a plain Set, for 200,000 random entries and as many other words", () => {
    const entries = new BigUint64Array(400_000);
    for (let at = 0; at < entries.length; at += 8192) crypto.getRandomValues(entries.subarray(at, at + 8192));
    const present = [...entries.subarray(0, 200_000)];
    const plain = new Set(present);
    const words = [...entries];
    expect(marked(present, words)).toHaveLength(words.filter((each) => plain.has(each)).length);
  });

  it("finds the members of a snapshot like a plain Set, for entries that are close together at one end", () => {
    const present = Array.from({ length: 5_000 }, (_, index) => BigInt(index) << 33n);
    expect(marked(present, [...present, 1n, 1n << 32n])).toEqual(present);
  });
});

describe("a packed value", () => {
  // A fixed test vector, so that a change of the format fails: two added resources and a removed one.
  const NAME = "delta/v1";
  const VECTOR =
    `524d5056${"03000000"}${"02000000"}${"01000000"}` +
    `64656c74612f7631${"00".repeat(40)}` +
    `${"0100000000000000"}${"efcdab8967452301"}` +
    "ffffffffffffffff";
  const VALUE = {
    added: BigUint64Array.of(1n, 0x0123456789abcdefn),
    removed: BigUint64Array.of(0xffffffffffffffffn),
  };

  it("keeps the format of a packed value across releases", () => {
    expect(toHex(pack(NAME, VALUE))).toBe(VECTOR);
    expect(unpack(fromHex(VECTOR).buffer, NAME)).toEqual(VALUE);
  });

  it("packs a resource in 8 bytes after 64 bytes of header: less than 8.1 MB for a million", () => {
    const none = new BigUint64Array();
    expect(pack("snapshot/v1/0", { added: new BigUint64Array(1_000_000), removed: none })).toHaveLength(
      8_000_064,
    );
  });

  it("unpacks a packed value to the same entries", () => {
    const entries = fc.array(fc.bigInt(0n, 2n ** 64n - 1n)).map((list) => BigUint64Array.from(list).sort());
    const name = fc.stringMatching(/^[ -~]{1,48}$/);
    fc.assert(
      fc.property(name, entries, entries, (each, added, removed) => {
        expect(unpack(pack(each, { added, removed }).buffer, each)).toEqual({ added, removed });
      }),
    );
  });

  it.each<[string, string, string]>([
    ["is cut off", VECTOR.slice(0, -2), NAME],
    ["is cut off within the header", VECTOR.slice(0, 40), NAME],
    ["is empty", "", NAME],
    ["is too long", `${VECTOR}00`, NAME],
    ["has other content", "3c68746d6c3e".repeat(20), NAME],
    ["has an older version", VECTOR.replace("03000000", "02000000"), NAME],
    ["has a newer version", VECTOR.replace("03000000", "04000000"), NAME],
    ["has another name", VECTOR, "delta/v2"],
  ])("throws for a packed value that %s", (_, hex, name) => {
    expect(() => unpack(fromHex(hex).buffer, name)).toThrow(name);
  });
});
