/** 28 bytes and their length, 8 at a time. */
const MESSAGE_WORDS = 4;

/**
 * The 8 bytes by which the cache's packed values know a resource: SipHash-2-4 (Aumasson and Bernstein, 2012) of the
 * 20 bytes of its SHA-1 and its size as 8 little-endian bytes, under a secret of 16 bytes. Without the secret nobody
 * can search for two files with one hash.
 *
 * A 64-bit word is kept as two of 32, for JavaScript's own 64-bit integers are objects.
 */
export class EntryHash {
  readonly #key: Int32Array;

  /** @param secret 16 bytes */
  constructor(secret: Uint8Array) {
    this.#key = new Int32Array(secret.slice().buffer, 0, 4);
  }

  /**
   * Writes the hash of a resource as an unsigned little-endian word of 64 bits: its low half at `target[2 * entry]`,
   * its high half behind it.
   *
   * @param words of SHA-1s, 5 little-endian words each
   * @param at the first of the five
   * @param size bytes, a safe integer
   */
  write(words: Uint32Array, at: number, size: number, target: Uint32Array, entry: number): void {
    const k0 = this.#key[0] as number;
    const k1 = this.#key[1] as number;
    const k2 = this.#key[2] as number;
    const k3 = this.#key[3] as number;
    // The initial state's constants spell "somepseudorandomlygeneratedbytes". It is local, so that it stays in registers.
    let al = k0 ^ 0x70736575;
    let ah = k1 ^ 0x736f6d65;
    let bl = k2 ^ 0x6e646f6d;
    let bh = k3 ^ 0x646f7261;
    let cl = k0 ^ 0x6e657261;
    let ch = k1 ^ 0x6c796765;
    let dl = k2 ^ 0x79746573;
    let dh = k3 ^ 0x74656462;
    for (let word = 0; word <= MESSAGE_WORDS; word++) {
      let low = 0;
      let high = 0;
      let rounds = 2;
      if (word < 2) {
        low = words[at + 2 * word] as number;
        high = words[at + 2 * word + 1] as number;
      } else if (word === 2) {
        low = words[at + 4] as number;
        high = size | 0;
      } else if (word === 3) {
        // The last word bears the length, 28 bytes, in its top byte: the size has no more than 53 bits.
        low = (size / 0x1_0000_0000) | 0;
        high = 28 << 24;
      } else {
        cl ^= 0xff;
        rounds = 4;
      }
      dl ^= low;
      dh ^= high;
      for (let round = 0; round < rounds; round++) {
        // A sum of low halves that is less than a summand has a carry.
        let sum = (al + bl) | 0;
        ah = (ah + bh + (sum >>> 0 < bl >>> 0 ? 1 : 0)) | 0;
        let turned = (bl << 13) | (bh >>> 19);
        bh = ((bh << 13) | (bl >>> 19)) ^ ah;
        bl = turned ^ sum;
        al = ah;
        ah = sum;

        sum = (cl + dl) | 0;
        ch = (ch + dh + (sum >>> 0 < dl >>> 0 ? 1 : 0)) | 0;
        cl = sum;
        turned = (dl << 16) | (dh >>> 16);
        dh = ((dh << 16) | (dl >>> 16)) ^ ch;
        dl = turned ^ cl;

        sum = (al + dl) | 0;
        ah = (ah + dh + (sum >>> 0 < dl >>> 0 ? 1 : 0)) | 0;
        al = sum;
        turned = (dl << 21) | (dh >>> 11);
        dh = ((dh << 21) | (dl >>> 11)) ^ ah;
        dl = turned ^ al;

        sum = (cl + bl) | 0;
        ch = (ch + bh + (sum >>> 0 < bl >>> 0 ? 1 : 0)) | 0;
        turned = (bl << 17) | (bh >>> 15);
        bh = ((bh << 17) | (bl >>> 15)) ^ ch;
        bl = turned ^ sum;
        cl = ch;
        ch = sum;
      }
      al ^= low;
      ah ^= high;
    }
    target[2 * entry] = al ^ bl ^ cl ^ dl;
    target[2 * entry + 1] = ah ^ bh ^ ch ^ dh;
  }
}
