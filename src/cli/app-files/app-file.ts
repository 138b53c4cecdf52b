import type { Dirent, Stats } from "node:fs";

/**
 * A file of an app, as cf CLI sees it. `path` is relative to the app, with `/`. `mode` is what cf CLI sends: Go's
 * os.FileMode, whose last nine bits are the permissions.
 */
export type AppFile =
  | { kind: "hashed"; path: string; mode: number; sha1: string; size: number }
  /** cf CLI always uploads these, without a request. */
  | { kind: "empty" | "link"; path: string; mode: number }
  /** `path` is relative to the user's directory. */
  | { kind: "unreadable"; path: string; reason: string };

export function unreadable(path: string, reason: string): AppFile {
  return { kind: "unreadable", path, reason };
}

export const SYMBOLIC_LINK = 2 ** 27;
const SET_USER_ID = 2 ** 23;
const SET_GROUP_ID = 2 ** 22;
const STICKY = 2 ** 20;

/** Converts a mode of stat(2) to Go's os.FileMode. */
export function goFileMode(mode: number): number {
  // Windows has no modes: there cf CLI gives every file 0700.
  const permissions = (mode & 0o777) | (process.platform === "win32" ? 0o700 : 0);
  return (
    permissions +
    (mode & 0o4000 ? SET_USER_ID : 0) +
    (mode & 0o2000 ? SET_GROUP_ID : 0) +
    (mode & 0o1000 ? STICKY : 0)
  );
}

/** What a file is that is neither regular nor a directory nor a symbolic link. Opening it may block, or change a device. */
export function specialFileType(file: Dirent<Buffer> | Stats): string {
  if (file.isFIFO()) return "a named pipe";
  if (file.isSocket()) return "a socket";
  return "a device";
}

/** A file name must not control the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "\ufffd");
}
