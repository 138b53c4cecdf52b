import type { Resource } from "./platform/code-under-test.ts";

/** The Cloud Controller neither stores nor matches a file that its owner can't read and write. */
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

/** Whether the platform uses a file with this mode from the pool. */
export function isPoolable({ mode }: Resource): boolean {
  return (Number.parseInt(mode ?? "0", 8) & PERMISSIONS) >= READABLE_AND_WRITABLE;
}
