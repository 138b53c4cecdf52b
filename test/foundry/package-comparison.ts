import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { gatherDirectory, targetOf, unixMode } from "./app-directory.ts";
import { CfConnection } from "./cf-connection.ts";
import { digestContent } from "./content.ts";
import { PERMISSIONS } from "./file-mode.ts";
import type { PushTarget } from "./push-client.ts";
import { openArchive } from "./zip.ts";

/**
 * How an assembled package differs from the directory that was pushed, a line for each difference; none where
 * they are the same: names, contents, permissions and the targets of links. Of the directories only those that
 * are empty count, because the others are known by what is in them, and the Cloud Controller drops some.
 */
export async function comparePackage(
  packageGuid: string,
  directory: string,
  { url, token }: PushTarget,
): Promise<string[]> {
  const archive = await new CfConnection(url, token).send("GET", `/v3/packages/${packageGuid}/download`);
  const scratch = await mkdtemp(join(tmpdir(), "package-"));
  try {
    const path = join(scratch, "package.zip");
    await writeFile(path, archive);
    const [expected, actual] = await Promise.all([describeDirectory(directory), describeArchive(path)]);
    return differences(expected, actual);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

type Description = Map<string, string>;

async function describeDirectory(directory: string): Promise<Description> {
  const entries = await gatherDirectory(directory);
  const filled = filledDirectories(entries.map(({ path }) => path));
  const description: Description = new Map();
  for (const entry of entries) {
    if (entry.kind === "symlink") description.set(entry.path, `link to ${await targetOf(directory, entry)}`);
    else if (entry.kind === "file") {
      description.set(entry.path, describeFile(unixMode(entry.mode), entry.size, entry.sha1));
    } else if (!filled.has(entry.path)) description.set(`${entry.path}/`, "empty directory");
  }
  return description;
}

async function describeArchive(path: string): Promise<Description> {
  const archive = await openArchive(path);
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

/** The directories that hold something. */
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

function differences(expected: Description, actual: Description): string[] {
  return [...new Set([...expected.keys(), ...actual.keys()])]
    .filter((name) => expected.get(name) !== actual.get(name))
    .map(
      (name) =>
        `${name}: ${expected.get(name) ?? "nothing"} was pushed, ${actual.get(name) ?? "nothing"} is in the package`,
    );
}
