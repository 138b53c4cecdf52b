/**
 * The 8 bytes by which the cache's packed values know a resource: SipHash-2-4 (Aumasson and Bernstein, 2012) of the
 * 20 bytes of its SHA-1 and its size as 8 little-endian bytes, under a secret of 16 bytes. Without the secret nobody
 * can search for two files with one hash.
 *
 * A 64-bit word is kept as two of 32, for JavaScript's own 64-bit integers are objects.
 */
export class EntryHash {
  readonly #key: Int32Array;
  readonly #state = new Int32Array(8);

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
    const v = this.#state;
    const k0 = this.#key[0] as number;
    const k1 = this.#key[1] as number;
    const k2 = this.#key[2] as number;
    const k3 = this.#key[3] as number;
    // The initial state's constants spell "somepseudorandomlygeneratedbytes".
    v[0] = k0 ^ 0x70736575;
    v[1] = k1 ^ 0x736f6d65;
    v[2] = k2 ^ 0x6e646f6d;
    v[3] = k3 ^ 0x646f7261;
    v[4] = k0 ^ 0x6e657261;
    v[5] = k1 ^ 0x6c796765;
    v[6] = k2 ^ 0x79746573;
    v[7] = k3 ^ 0x74656462;
    compress(v, words[at] as number, words[at + 1] as number);
    compress(v, words[at + 2] as number, words[at + 3] as number);
    compress(v, words[at + 4] as number, size | 0);
    // The last word bears the length, 28 bytes, in its top byte: the size has no more than 53 bits.
    compress(v, (size / 0x1_0000_0000) | 0, 28 << 24);
    v[4] = (v[4] as number) ^ 0xff;
    rounds(v, 4);
    target[2 * entry] = (v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number);
    target[2 * entry + 1] = (v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number);
  }
}

function compress(v: Int32Array, low: number, high: number): void {
  v[6] = (v[6] as number) ^ low;
  v[7] = (v[7] as number) ^ high;
  rounds(v, 2);
  v[0] = (v[0] as number) ^ low;
  v[1] = (v[1] as number) ^ high;
}

/** SipRounds; the halves are local, so that they stay in registers. */
function rounds(v: Int32Array, count: number): void {
  let al = v[0] as number;
  let ah = v[1] as number;
  let bl = v[2] as number;
  let bh = v[3] as number;
  let cl = v[4] as number;
  let ch = v[5] as number;
  let dl = v[6] as number;
  let dh = v[7] as number;
  for (let round = 0; round < count; round++) {
    let sum = (al >>> 0) + (bl >>> 0);
    ah = (ah + bh + (sum > 0xffff_ffff ? 1 : 0)) | 0;
    al = sum | 0;
    let turned = (bl << 13) | (bh >>> 19);
    bh = ((bh << 13) | (bl >>> 19)) ^ ah;
    bl = turned ^ al;
    turned = al;
    al = ah;
    ah = turned;

    sum = (cl >>> 0) + (dl >>> 0);
    ch = (ch + dh + (sum > 0xffff_ffff ? 1 : 0)) | 0;
    cl = sum | 0;
    turned = (dl << 16) | (dh >>> 16);
    dh = ((dh << 16) | (dl >>> 16)) ^ ch;
    dl = turned ^ cl;

    sum = (al >>> 0) + (dl >>> 0);
    ah = (ah + dh + (sum > 0xffff_ffff ? 1 : 0)) | 0;
    al = sum | 0;
    turned = (dl << 21) | (dh >>> 11);
    dh = ((dh << 21) | (dl >>> 11)) ^ ah;
    dl = turned ^ al;

    sum = (cl >>> 0) + (bl >>> 0);
    ch = (ch + bh + (sum > 0xffff_ffff ? 1 : 0)) | 0;
    cl = sum | 0;
    turned = (bl << 17) | (bh >>> 15);
    bh = ((bh << 17) | (bl >>> 15)) ^ ch;
    bl = turned ^ cl;
    turned = cl;
    cl = ch;
    ch = turned;
  }
  v[0] = al;
  v[1] = ah;
  v[2] = bl;
  v[3] = bh;
  v[4] = cl;
  v[5] = ch;
  v[6] = dl;
  v[7] = dh;
}
