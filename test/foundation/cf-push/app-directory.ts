import { type Dirent, lstatSync, readdirSync } from "node:fs";
import { readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import ignore from "ignore";
import { digestFile } from "../content.ts";

/** One entry of an app directory as cf CLI sees it. */
export interface AppEntry {
  /** Relative, with slashes. */
  path: string;
  kind: "file" | "directory" | "symlink";
  /** As Go has it: permissions, and setuid, setgid and sticky at bits of its own. */
  mode: number;
  /** Empty for what is no file. */
  sha1: string;
  /** Bytes; 0 for what is no file. */
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
/** The bits of a Unix mode, and where Go has them. */
const GO_MODE_BITS: [number, number][] = [
  [0o4000, 1 << 23],
  [0o2000, 1 << 22],
  [0o1000, 1 << 20],
];
const GO_SYMLINK = 1 << 27;

/** Everything in `directory` except what cf CLI always ignores, in the order of the names. */
export async function gatherDirectory(directory: string): Promise<AppEntry[]> {
  const ignored = ignore({ ignorecase: false }).add(IGNORED);
  const root = await realpath(directory);
  const paths: string[] = [];
  const walk = (parent: string) => {
    for (const entry of readdirSync(join(root, parent), { withFileTypes: true }).sort(byName)) {
      const path = parent === "" ? entry.name : `${parent}/${entry.name}`;
      if (ignored.ignores(path)) continue;
      // The zip library would make a slash of it.
      if (path.includes("\\"))
        throw new Error(`${path}: names with a backslash can't be pushed by this client`);
      paths.push(path);
      if (entry.isDirectory()) walk(path);
    }
  };
  walk("");
  const entries: AppEntry[] = [];
  for (const path of paths) entries.push(await entryOf(join(root, path), path));
  return entries;
}

/** What a symbolic link of the directory points to. */
export function targetOf(directory: string, { path }: AppEntry): Promise<string> {
  return readlink(join(directory, path));
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}

async function entryOf(fullPath: string, path: string): Promise<AppEntry> {
  const stats = lstatSync(fullPath, { bigint: true });
  const unix = Number(stats.mode);
  const { mtime: modified } = stats;
  const nothing = { sha1: "", size: 0, modified };
  if (stats.isDirectory()) return { path, kind: "directory", mode: FOLDER_MODE, ...nothing };
  if (stats.isSymbolicLink()) return { path, kind: "symlink", mode: goMode(unix) | GO_SYMLINK, ...nothing };
  const { sha1 } = await digestFile(fullPath, stats);
  return { path, kind: "file", mode: goMode(unix), sha1, size: Number(stats.size), modified };
}

function goMode(unixMode: number): number {
  return GO_MODE_BITS.reduce((mode, [unix, go]) => (unixMode & unix ? mode | go : mode), unixMode & 0o777);
}

/** The other way round, as an archive wants it. */
export function unixMode(mode: number): number {
  return GO_MODE_BITS.reduce((unix, [bit, go]) => (mode & go ? unix | bit : unix), mode & 0o777);
}
