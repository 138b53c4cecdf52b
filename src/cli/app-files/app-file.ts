/**
 * A file of an app, and what cf CLI makes of it. `path` is relative to the app, with `/`; `mode` is what cf CLI
 * sends: Go's os.FileMode, of which the last nine bits are the permissions.
 */
export type AppFile =
  | { kind: "hashed"; path: string; mode: number; sha1: string; size: number }
  /** Uploaded without asking. */
  | { kind: "empty" | "link"; path: string; mode: number }
  /** Could not be read. `path` is as a person finds it. */
  | { kind: "left-out"; path: string; reason: string };

export const SYMBOLIC_LINK = 2 ** 27;
const SET_USER_ID = 2 ** 23;
const SET_GROUP_ID = 2 ** 22;
const STICKY = 2 ** 20;

/** Go's os.FileMode of a file with `mode` as stat(2) gives it. */
export function goFileMode(mode: number): number {
  // On Windows, where nothing says so, cf CLI lets every file be read, written and run by its owner.
  const permissions = (mode & 0o777) | (process.platform === "win32" ? 0o700 : 0);
  return (
    permissions +
    (mode & 0o4000 ? SET_USER_ID : 0) +
    (mode & 0o2000 ? SET_GROUP_ID : 0) +
    (mode & 0o1000 ? STICKY : 0)
  );
}
