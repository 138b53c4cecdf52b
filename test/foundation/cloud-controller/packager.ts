import { posix } from "node:path";
import { mapConcurrently } from "../concurrency.ts";
import { type Digested, digestContent, digestFile } from "../content.ts";
import { DIRECTORY, MODE_BITS, PERMISSIONS, READABLE_AND_WRITABLE, REGULAR_FILE } from "../file-mode.ts";
import {
  type ArchiveContent,
  type ArchiveEntry,
  isDirectoryToRubyzip,
  type OpenArchive,
  openArchive,
  writeArchive,
} from "../zip.ts";
import { type Fingerprint, type PlacedFingerprint, placeFingerprint } from "./fingerprints.ts";
import type { ResourcePool } from "./resource-pool.ts";

export interface PackagerOptions {
  pool: ResourcePool;
  /** Sum of the uncompressed sizes of all files, in bytes. */
  maximumPackageSize: number;
}

interface Draft {
  /** By name. */
  contents: Map<string, ArchiveContent>;
  /** Uncompressed, in bytes. */
  size: number;
}

const CONCURRENT_FILES = 8;

/**
 * Writes a package from an uploaded archive and files of the pool. As in the Cloud Controller, the archive's files are added
 * to the pool before any file is read from it.
 *
 * @param bits path of the uploaded archive, if there is one
 * @param packagePath path of the package to write
 * @returns paths of the archive's files and links
 * @throws Error with a message that becomes the error of the package
 */
export async function assemblePackage(
  bits: string | undefined,
  fingerprints: readonly Fingerprint[],
  packagePath: string,
  { pool, maximumPackageSize }: PackagerOptions,
): Promise<string[]> {
  const draft: Draft = { contents: new Map(), size: 0 };
  const checkSize = () => {
    if (draft.size <= maximumPackageSize) return;
    throw new Error(`The app package is invalid: Package may not be larger than ${maximumPackageSize} bytes`);
  };
  const archive = bits === undefined ? undefined : await rejectInvalidZip(openArchive(bits));
  try {
    if (archive) {
      draft.size = archive.entries.reduce((sum, { size }) => sum + size, 0);
      checkSize();
      await unpack(archive, draft, pool);
    }
    await appendFromPool(fingerprints, draft, pool);
    checkSize();
    const kept = [...draft.contents.values()].filter((entry) => !isDirectoryToRubyzip(entry));
    await writeArchive(packagePath, kept, { compress: false });
    return archive?.entries.filter(({ kind }) => kind !== "directory").map(({ name }) => name) ?? [];
  } finally {
    archive?.close();
  }
}

async function unpack({ entries }: OpenArchive, { contents }: Draft, pool: ResourcePool): Promise<void> {
  if (entries.length === 0) throw new Error(`${INVALID_ZIP} (zipfile is empty).`);
  const unpacked = await mapConcurrently(entries, CONCURRENT_FILES, (entry) => unpackEntry(entry, pool));
  for (const content of unpacked) contents.set(content.name, content);
}

async function unpackEntry(entry: ArchiveEntry, pool: ResourcePool): Promise<ArchiveContent> {
  const { name, kind, mode, modified, read } = entry;
  if (kind === "directory") return { name, mode, modified, content: undefined };
  if (kind === "symlink") {
    return { name, mode, modified, content: await rejectInvalidZip(read()) };
  }
  const { sha1, size, content } = await rejectInvalidZip(digestContent(entry));
  // The Cloud Controller compares the permissions as a number.
  if ((mode & PERMISSIONS) >= READABLE_AND_WRITABLE) await pool.add(sha1, size, content);
  return { name, mode, modified, content };
}

/** Validates all fingerprints before it fetches the first blob. */
async function appendFromPool(
  fingerprints: readonly Fingerprint[],
  draft: Draft,
  pool: ResourcePool,
): Promise<void> {
  const placed = fingerprints.map(placeFingerprint);
  const blobs = await mapConcurrently(placed, CONCURRENT_FILES, ({ sha1 }) => fetchBlob(sha1, pool));
  await checkBlobs(placed, blobs, pool);
  const modified = new Date();
  for (const [index, { path, mode }] of placed.entries()) {
    // `zip -r` adds the parent directories too, and replaces entries of the same name.
    for (let parent = posix.dirname(path); parent !== "."; parent = posix.dirname(parent)) {
      const name = `${parent}/`;
      draft.contents.set(name, { name, mode: DIRECTORY | 0o755, modified, content: undefined });
    }
    const { content, size } = blobs[index] as Digested;
    draft.contents.set(path, { name: path, mode: REGULAR_FILE | (mode & MODE_BITS), modified, content });
    draft.size += size;
  }
}

/** @returns undefined if the pool does not have the blob */
async function fetchBlob(sha1: string, pool: ResourcePool): Promise<Digested | undefined> {
  const path = pool.pathOf(sha1);
  return path === undefined ? undefined : digestFile(path).catch(() => undefined);
}

/** Throws for the first missing blob. Deletes damaged blobs from the pool, and throws if there was one. */
async function checkBlobs(
  placed: readonly PlacedFingerprint[],
  blobs: readonly (Digested | undefined)[],
  pool: ResourcePool,
): Promise<void> {
  let hasMismatch = false;
  for (const [index, { sha1 }] of placed.entries()) {
    const blob = blobs[index];
    if (!blob) throw new Error(`Could not find object '${sha1}'`);
    // The comparison is case-sensitive: a checksum in capitals deletes the blob.
    if (blob.sha1 === sha1) continue;
    hasMismatch = true;
    await pool.delete(sha1);
  }
  if (hasMismatch) {
    throw new Error(
      "One or more cached resources did not match the given checksum. They have been deleted; please retry package upload.",
    );
  }
}

const INVALID_ZIP = "The app upload is invalid: Invalid zip archive";

function rejectInvalidZip<T>(reading: Promise<T>): Promise<T> {
  return reading.catch((cause) => {
    throw new Error(`${INVALID_ZIP}.`, { cause });
  });
}
