import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ZipFile } from "yazl";

/** `<sha1>:<size>` of a content, independent of the command's code. */
export function keyOf(content: string): string {
  return `${createHash("sha1").update(content).digest("hex")}:${Buffer.byteLength(content)}`;
}

export function sha1Of(content: string): string {
  return keyOf(content).slice(0, 40);
}

export async function writeApp(directory: string, files: Record<string, string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
}

export async function writeZip(
  path: string,
  files: Record<string, string | { content: string; mode: number }>,
): Promise<void> {
  const zip = new ZipFile();
  for (const [name, file] of Object.entries(files)) {
    const { content, mode } = typeof file === "string" ? { content: file, mode: 0o100644 } : file;
    if (name.endsWith("/")) zip.addEmptyDirectory(name);
    else zip.addBuffer(Buffer.from(content), name, { mode, compress: content.length > 20 });
  }
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(path));
}
