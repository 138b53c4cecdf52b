import { toHex } from "../resources/sha1.ts";

/** An id that tells when it was made. */
export function newId(now: number): string {
  return `${now.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}

/** 16 random bytes in hex. */
export function newSecret(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}
