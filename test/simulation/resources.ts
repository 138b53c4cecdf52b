import type { Resource } from "./platform/code-under-test.ts";

/** The Cloud Controller neither takes nor gives a file whose owner can't read and write it. */
const READABLE_AND_WRITABLE = 0o600;
const PERMISSIONS = 0o777;

/** `<sha1>:<size>`. */
export function keyOfResource({ checksum, size_in_bytes }: Resource): string {
  return `${checksum.value}:${size_in_bytes}`;
}

export function resourceOfKey(key: string): Resource {
  const [value = "", size] = key.split(":");
  return { checksum: { value }, size_in_bytes: Number(size), mode: "0644" };
}

/** Whether the platform takes a file of this mode from the pool. */
export function isPoolable({ mode }: Resource): boolean {
  return (Number.parseInt(mode ?? "0", 8) & PERMISSIONS) >= READABLE_AND_WRITABLE;
}
