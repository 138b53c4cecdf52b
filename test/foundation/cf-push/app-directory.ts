import { type Dirent, lstatSync, readdirSync } from "node:fs";
import { readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import { digestFile } from "../content.ts";

/** One entry of an app directory. */
export interface AppEntry {
  /** Relative, with slashes. */
  path: string;
  kind: "file" | "directory" | "symlink";
  /** In the format of Go: permissions, and Go's own bits for setuid, setgid and sticky. */
  mode: number;
  /** Empty for directories and links. */
  sha1: string;
  /** In bytes. 0 for directories and links. */
  size: number;
  modified: Date;
}

const IGNORED = [
  ".cfignore",
  ".DS_Store",
  ".git",
  ".gitignore",
  ".hg",
  ".svn",
  "_darcs",
  "manifest.yaml",
  "manifest.yml",
];

const FOLDER_MODE = 0o755;
/** Bits of a Unix mode, and the corresponding bits of Go. */
const GO_MODE_BITS: [number, number][] = [
  [0o4000, 1 << 23],
  [0o2000, 1 << 22],
  [0o1000, 1 << 20],
];
const GO_SYMLINK = 1 << 27;

/** Lists all entries of `directory` in the order of their names, except those that cf CLI always ignores. */
export async function gatherDirectory(directory: string): Promise<AppEntry[]> {
  const root = await realpath(directory);
  const paths: string[] = [];
  const walk = (parent: string) => {
    for (const entry of readdirSync(join(root, parent), { withFileTypes: true }).sort(byName)) {
      if (IGNORED.includes(entry.name)) continue;
      const path = parent === "" ? entry.name : `${parent}/${entry.name}`;
      // The zip library would replace the backslash by a slash.
      if (path.includes("\\"))
        throw new Error(`${path}: names with a backslash can't be pushed by this client`);
      paths.push(path);
      if (entry.isDirectory()) walk(path);
    }
  };
  walk("");
  const entries: AppEntry[] = [];
  for (const path of paths) entries.push(await readEntry(join(root, path), path));
  return entries;
}

/** Reads the target of a symbolic link. */
export function readTarget(directory: string, { path }: AppEntry): Promise<string> {
  return readlink(join(directory, path));
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}

async function readEntry(fullPath: string, path: string): Promise<AppEntry> {
  const stats = lstatSync(fullPath, { bigint: true });
  const unix = Number(stats.mode);
  const { mtime: modified } = stats;
  const nothing = { sha1: "", size: 0, modified };
  if (stats.isDirectory()) return { path, kind: "directory", mode: FOLDER_MODE, ...nothing };
  if (stats.isSymbolicLink()) return { path, kind: "symlink", mode: toGoMode(unix) | GO_SYMLINK, ...nothing };
  const { sha1 } = await digestFile(fullPath, stats);
  return { path, kind: "file", mode: toGoMode(unix), sha1, size: Number(stats.size), modified };
}

function toGoMode(unixMode: number): number {
  return GO_MODE_BITS.reduce((mode, [unix, go]) => (unixMode & unix ? mode | go : mode), unixMode & 0o777);
}

/** Converts a mode of Go to a Unix mode. */
export function toUnixMode(mode: number): number {
  return GO_MODE_BITS.reduce((unix, [bit, go]) => (mode & go ? unix | bit : unix), mode & 0o777);
}
