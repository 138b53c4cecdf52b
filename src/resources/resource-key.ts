import { isSha1Hex } from "./sha1.ts";

/**
 * `<sha1>:<size>`: the SHA-1 in lower-case hex, the size in bytes. The key of a resource in KV is
 * `<KEY_PREFIX><resource key>`, with the value `1`.
 */
export type ResourceKey = `${string}:${number}`;

/**
 * @param sha1 40 characters
 * @param size bytes
 * @returns undefined if `sha1` is not hex: the pool can't have such a file
 */
export function resourceKey(sha1: string, size: number): ResourceKey | undefined {
  return isSha1Hex(sha1) ? `${sha1.toLowerCase()}:${size}` : undefined;
}

export function parseResourceKey(key: ResourceKey): { sha1: string; size: number } {
  return { sha1: sha1Of(key), size: sizeOf(key) };
}

export function sha1Of(key: ResourceKey): string {
  return key.slice(0, key.indexOf(":"));
}

/** Bytes. */
export function sizeOf(key: ResourceKey): number {
  return Number(key.slice(key.indexOf(":") + 1));
}
