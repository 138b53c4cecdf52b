import { createHash } from "node:crypto";
import { constants, open } from "node:fs/promises";
import { reasonOf } from "../terminal/exit.ts";
import { type AppFile, goFileMode } from "./app-file.ts";

// Whatever took the file's place since it was listed: no link is followed, and no pipe waited for.
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Hashes a regular file, of which only a chunk is in memory at a time.
 *
 * @param path what the file is called in the app
 */
export async function hashFile(fullPath: string, path: string): Promise<AppFile> {
  const leftOut = (reason: string): AppFile => ({ kind: "left-out", path: fullPath, reason });
  try {
    const file = await open(fullPath, FLAGS);
    try {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) return leftOut("is no regular file any more");
      const mode = goFileMode(Number(before.mode));
      if (before.size === 0n) return { kind: "empty", path, mode };

      const hash = createHash("sha1");
      let size = 0n;
      for await (const chunk of file.createReadStream({ autoClose: false })) {
        hash.update(chunk);
        size += BigInt(chunk.length);
      }
      const after = await file.stat({ bigint: true });
      if (size !== before.size || after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
        return leftOut("changed while it was read");
      }
      return { kind: "hashed", path, mode, sha1: hash.digest("hex"), size: Number(size) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return leftOut(reasonOf(error));
  }
}
