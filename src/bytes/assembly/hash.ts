/** The hashes of keys. */
import { ENTRIES, KEY_BYTES, KEY_SIZE, KEYS } from "./layout";

/**
 * Writes the entry hash of each key: SipHash-2-4 (Aumasson and Bernstein, 2012) of the 20 bytes of its SHA-1 and its size
 * as 8 little-endian bytes. `k0` and `k1` are the halves of the secret.
 */
export function hash(count: i32, k0: u64, k1: u64): void {
  for (let index: usize = 0; index < <usize>count; index++) {
    const key = KEYS + index * KEY_BYTES;
    const size = <u64>load<f64>(key, KEY_SIZE);
    let v0: u64 = k0 ^ 0x736f6d6570736575;
    let v1: u64 = k1 ^ 0x646f72616e646f6d;
    let v2: u64 = k0 ^ 0x6c7967656e657261;
    let v3: u64 = k1 ^ 0x7465646279746573;
    for (let step = 0; step < 5; step++) {
      let word: u64 = 0;
      if (step < 2) word = load<u64>(key + ((<usize>step) << 3));
      else if (step == 2) word = <u64>load<u32>(key, 16) | (size << 32);
      // The top byte of the last word is the length, 28. A size has at most 53 bits.
      else if (step == 3) word = (size >> 32) | (28 << 56);
      else v2 ^= 0xff;
      v3 ^= word;
      const rounds = step < 4 ? 2 : 4;
      for (let round = 0; round < rounds; round++) {
        v0 += v1;
        v1 = rotl(v1, 13) ^ v0;
        v0 = rotl(v0, 32);
        v2 += v3;
        v3 = rotl(v3, 16) ^ v2;
        v0 += v3;
        v3 = rotl(v3, 21) ^ v0;
        v2 += v1;
        v1 = rotl(v1, 17) ^ v2;
        v2 = rotl(v2, 32);
      }
      v0 ^= word;
    }
    store<u64>(ENTRIES + index * 8, v0 ^ v1 ^ v2 ^ v3);
  }
}

/** Writes the SHA-1 of each key, folded to 8 bytes. */
export function fold(count: i32): void {
  for (let index: usize = 0; index < <usize>count; index++) {
    const key = KEYS + index * KEY_BYTES;
    const last = <u64>load<u32>(key, 16);
    store<u64>(ENTRIES + index * 8, load<u64>(key) ^ load<u64>(key, 8) ^ last ^ (last << 48));
  }
}
