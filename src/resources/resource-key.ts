import { isSha1Hex } from "./sha1.ts";

/**
 * The name by which the pool knows a file: `<sha1>:<size>`, the SHA-1 in lower-case hex, the size in bytes.
 * A key of the cache is `<KEY_PREFIX><resource key>`, its value `1`.
 */
export type ResourceKey = `${string}:${number}`;

/**
 * @param sha1 40 characters; hex in any letter case
 * @param size bytes
 * @returns undefined where the checksum is no hex, and so can't name a file of the pool
 */
export function resourceKey(sha1: string, size: number): ResourceKey | undefined {
  return isSha1Hex(sha1) ? `${sha1.toLowerCase()}:${size}` : undefined;
}

/** The two halves of a resource key: 40 characters of lower-case hex, and bytes. */
export interface ResourceIdentity {
  sha1: string;
  size: number;
}

const RESOURCE_KEY = /^([0-9a-f]{40}):(0|[1-9]\d{0,15})$/;

/** Whether a value is the key of a resource. */
export function isResourceKey(value: unknown): value is ResourceKey {
  return (
    typeof value === "string" &&
    RESOURCE_KEY.test(value) &&
    Number.isSafeInteger(sizeOf(value as ResourceKey))
  );
}

/** The two halves of a resource key. */
export function parseResourceKey(key: ResourceKey): ResourceIdentity {
  return { sha1: sha1Of(key), size: sizeOf(key) };
}

/** The checksum of a resource key. */
export function sha1Of(key: ResourceKey): string {
  return key.slice(0, key.indexOf(":"));
}

/** The size of a resource key, in bytes. */
export function sizeOf(key: ResourceKey): number {
  return Number(key.slice(key.indexOf(":") + 1));
}
