import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Blob {
  /** As the Cloud Controller names it. */
  name: string;
  sha1: string;
  content: string;
  /** `<sha1>:<size>` */
  key: string;
}

/** Blobs of a resource pool, of 1 to 50 bytes, all different. */
export function makeBlobs(count: number): Blob[] {
  return Array.from({ length: count }, (_, index) => {
    const content = `${index}`.padStart(1 + (index % 50), "-");
    const sha1 = createHash("sha1").update(content).digest("hex");
    return {
      name: `${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`,
      sha1,
      content,
      key: `${sha1}:${content.length}`,
    };
  });
}

/** Without promises, which take several times as long for many small files. */
export function writeBlobs(directory: string, blobs: readonly Blob[]): void {
  for (const { name, content } of blobs) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}
