import { posix } from "node:path";
import {
  type AppEntry,
  gatherDirectory,
  readTarget,
  toUnixMode,
} from "../../foundation/cf-push/app-directory.ts";
import { CfConnection } from "../../foundation/cf-push/cf-connection.ts";
import type { PushTarget } from "../../foundation/cf-push/push-client.ts";
import { digestContent } from "../../foundation/content.ts";
import { PERMISSIONS, READABLE_AND_WRITABLE } from "../../foundation/file-mode.ts";
import { openArchive } from "../../foundation/zip.ts";

/**
 * Compares a package with the directory that was pushed: names, contents, permissions and link targets. Of directories only empty
 * ones count: the others follow from their files, and the Cloud Controller drops some.
 *
 * @param mayAddMode whether a file may have got 0600 in addition to its own mode, as a warning of the push says
 * @returns the differences, a line each
 */
export async function comparePackage(
  packageGuid: string,
  directory: string,
  { url, token }: PushTarget,
  { mayAddMode = false } = {},
): Promise<string[]> {
  const archive = await new CfConnection(url, token).send("GET", `/v3/packages/${packageGuid}/download`);
  const [entries, actual] = await Promise.all([gatherDirectory(directory), describeArchive(archive)]);
  const expected = await describeEntries(directory, entries);
  const withMode = mayAddMode ? await describeEntries(directory, entries, READABLE_AND_WRITABLE) : expected;
  return differences(expected, actual)
    .filter((name) => withMode.get(name) !== actual.get(name))
    .map(
      (name) =>
        `${name}: ${expected.get(name) ?? "nothing"} was pushed, ${actual.get(name) ?? "nothing"} is in the package`,
    );
}

type Description = Map<string, string>;

/** @param addedMode mode bits that were added to every file */
async function describeEntries(
  directory: string,
  entries: readonly AppEntry[],
  addedMode = 0,
): Promise<Description> {
  const filled = filledDirectories(entries.map(({ path }) => path));
  const description: Description = new Map();
  for (const entry of entries) {
    if (entry.kind === "symlink")
      description.set(entry.path, `link to ${await readTarget(directory, entry)}`);
    else if (entry.kind === "file") {
      description.set(entry.path, describeFile(toUnixMode(entry.mode) | addedMode, entry.size, entry.sha1));
    } else if (!filled.has(entry.path)) description.set(`${entry.path}/`, "empty directory");
  }
  return description;
}

async function describeArchive(bytes: Buffer): Promise<Description> {
  const archive = await openArchive(bytes);
  const description: Description = new Map();
  for (const entry of archive.entries) {
    const { name, kind, mode } = entry;
    if (description.has(name)) description.set(`${name} (again)`, "twice in the archive");
    else if (kind === "directory") description.set(name, "empty directory");
    else if (kind === "symlink") description.set(name, `link to ${await entry.read()}`);
    else {
      const { sha1, size } = await digestContent(entry);
      description.set(name, describeFile(mode, size, sha1));
    }
  }
  archive.close();
  for (const directory of filledDirectories([...description.keys()])) description.delete(`${directory}/`);
  return description;
}

/** The directories that are not empty. */
function filledDirectories(paths: readonly string[]): Set<string> {
  const filled = new Set<string>();
  for (const path of paths) {
    for (
      let parent = posix.dirname(path);
      parent !== "." && !filled.has(parent);
      parent = posix.dirname(parent)
    ) {
      filled.add(parent);
    }
  }
  return filled;
}

function describeFile(mode: number, size: number, sha1: string): string {
  return `file of ${size} bytes, mode ${(mode & PERMISSIONS).toString(8)}, SHA-1 ${sha1}`;
}

/** The names of entries that differ. */
function differences(expected: Description, actual: Description): string[] {
  const names = new Set([...expected.keys(), ...actual.keys()]);
  return [...names].filter((name) => expected.get(name) !== actual.get(name));
}
