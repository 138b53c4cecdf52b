import { createHash } from "node:crypto";
import { constants, open } from "node:fs/promises";
import { reasonOf } from "../terminal/exit.ts";
import { type AppFile, goFileMode, unreadable } from "./app-file.ts";

// The file may have been replaced since it was listed: follow no link, and wait for no pipe.
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Hashes a regular file, chunk by chunk.
 *
 * @param fullPath may be any bytes
 * @param path the file's path in the app
 */
export async function hashFile(fullPath: string | Buffer, path: string): Promise<AppFile> {
  try {
    const file = await open(fullPath, FLAGS);
    try {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) return unreadable(fullPath.toString(), "it is no longer a regular file");
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
        return unreadable(fullPath.toString(), "it changed while it was read");
      }
      return { kind: "hashed", path, mode, sha1: hash.digest("hex"), size: Number(size) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return unreadable(fullPath.toString(), reasonOf(error));
  }
}
