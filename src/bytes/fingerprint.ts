/**
 * A hash that identifies a repeated request: 64 bits in hex, of the contents in order, and of the first and the last path. Two
 * requests of one push may have the same contents, so the paths are needed. It is not cryptographic: with a collision, callers
 * only get some of their own matches verified.
 *
 * @param contents 8 bytes each
 * @param paths as JSON text
 */
export function fingerprintOf(contents: Uint8Array, ...paths: Uint8Array[]): string {
  let [low, high] = [0x9e3779b9, 0x85ebca6b];
  const add = (word: number) => {
    low = Math.imul(low ^ word, 0xcc9e2d51);
    low = (low << 13) | (low >>> 19);
    high = Math.imul(high ^ word, 0x1b873593);
    high = (high << 17) | (high >>> 15);
  };
  const words = new Uint32Array(contents.slice().buffer);
  for (let index = 0; index < words.length; index++) add(words[index] as number);
  for (const path of paths) {
    add(path.length);
    for (let index = 0; index < path.length; index++) add(path[index] as number);
  }
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  return [low, high].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
