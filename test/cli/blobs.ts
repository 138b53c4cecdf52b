import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Blob {
  /** The Cloud Controller's name. */
  name: string;
  sha1: string;
  content: string;
  /** `<sha1>:<size>` */
  key: string;
}

/** Different blobs of 1 to 50 bytes. */
export function makeBlobs(count: number): Blob[] {
  return Array.from({ length: count }, (_, index) => {
    const content = `${index}`.padStart(1 + (index % 50), "-");
    return blobOf(createHash("sha1").update(content).digest("hex"), content);
  });
}

/** Blobs in only a hundred folders, which are faster to write. Their SHA-1s are not those of their contents. */
export function makeNames(count: number): Blob[] {
  return Array.from({ length: count }, (_, index) => {
    const sha1 = `00${String(index % 100).padStart(2, "0")}${index.toString(16).padStart(36, "e")}`;
    return blobOf(sha1, "-".repeat(1 + (index % 50)));
  });
}

function blobOf(sha1: string, content: string): Blob {
  const name = `app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
  return { name, sha1, content, key: `${sha1}:${content.length}` };
}

/** Synchronous: promises take several times as long for many small files. */
export function writeBlobs(directory: string, blobs: readonly Pick<Blob, "name" | "content">[]): void {
  const made = new Set<string>();
  for (const { name, content } of blobs) {
    const path = join(directory, name);
    if (!made.has(dirname(path))) mkdirSync(dirname(path), { recursive: true });
    made.add(dirname(path));
    writeFileSync(path, content);
  }
}
