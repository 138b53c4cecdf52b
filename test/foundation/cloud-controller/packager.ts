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
  /** Bytes of all files together, unpacked. */
  maximumPackageSize: number;
}

interface Draft {
  /** By name. */
  contents: Map<string, ArchiveContent>;
  /** Bytes, unpacked. */
  size: number;
}

const FILES_AT_A_TIME = 8;

/**
 * Makes a package of an uploaded archive and of what the pool has, in the Cloud Controller's order: the
 * archive's files go into the pool before anything is taken out of it.
 *
 * @param bits path of the uploaded archive; undefined where none came
 * @param packagePath where the package is written
 * @returns paths of the archive's files and links
 * @throws Error whose message becomes the error of the package
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
  const archive = bits === undefined ? undefined : await orInvalidZip(openArchive(bits));
  try {
    if (archive) {
      draft.size = archive.entries.reduce((sum, { size }) => sum + size, 0);
      checkSize();
      await unpack(archive, draft, pool);
    }
    await appendFromPool(fingerprints, draft, pool);
    checkSize();
    const kept = [...draft.contents.values()].filter((entry) => !isDirectoryToRubyzip(entry));
    // How it is packed is nobody's concern.
    await writeArchive(packagePath, kept, { compress: false });
    return archive?.entries.filter(({ kind }) => kind !== "directory").map(({ name }) => name) ?? [];
  } finally {
    archive?.close();
  }
}

async function unpack({ entries }: OpenArchive, { contents }: Draft, pool: ResourcePool): Promise<void> {
  if (entries.length === 0) throw new Error(`${INVALID_ZIP} (zipfile is empty).`);
  const unpacked = await mapConcurrently(entries, FILES_AT_A_TIME, (entry) => unpackEntry(entry, pool));
  for (const content of unpacked) contents.set(content.name, content);
}

async function unpackEntry(entry: ArchiveEntry, pool: ResourcePool): Promise<ArchiveContent> {
  const { name, kind, mode, modified, read } = entry;
  if (kind === "directory") return { name, mode, modified, content: undefined };
  if (kind === "symlink") {
    return { name, mode, modified, content: await orInvalidZip(read()) };
  }
  const { sha1, size, content } = await orInvalidZip(digestContent(entry));
  // Compared as a number, of the permissions alone.
  if ((mode & PERMISSIONS) >= READABLE_AND_WRITABLE) await pool.add(sha1, size, content);
  return { name, mode, modified, content };
}

/** All fingerprints are judged before the first blob is fetched. */
async function appendFromPool(
  fingerprints: readonly Fingerprint[],
  draft: Draft,
  pool: ResourcePool,
): Promise<void> {
  const placed = fingerprints.map(placeFingerprint);
  const blobs = await mapConcurrently(placed, FILES_AT_A_TIME, ({ sha1 }) => fetchBlob(sha1, pool));
  await checkBlobs(placed, blobs, pool);
  const modified = new Date();
  for (const [index, { path, mode }] of placed.entries()) {
    // `zip -r` enters the directories too, over those of the same name.
    for (let parent = posix.dirname(path); parent !== "."; parent = posix.dirname(parent)) {
      const name = `${parent}/`;
      draft.contents.set(name, { name, mode: DIRECTORY | 0o755, modified, content: undefined });
    }
    const { content, size } = blobs[index] as Digested;
    draft.contents.set(path, { name: path, mode: REGULAR_FILE | (mode & MODE_BITS), modified, content });
    draft.size += size;
  }
}

/** @returns undefined where the pool does not have it */
async function fetchBlob(sha1: string, pool: ResourcePool): Promise<Digested | undefined> {
  const path = pool.pathOf(sha1);
  return path === undefined ? undefined : digestFile(path).catch(() => undefined);
}

/** In the order of the fingerprints: the first one that is missing ends it. */
async function checkBlobs(
  placed: readonly PlacedFingerprint[],
  blobs: readonly (Digested | undefined)[],
  pool: ResourcePool,
): Promise<void> {
  let isMismatched = false;
  for (const [index, { sha1 }] of placed.entries()) {
    const blob = blobs[index];
    if (!blob) throw new Error(`Could not find object '${sha1}'`);
    // To the letter: a checksum in capitals costs the pool its blob.
    if (blob.sha1 === sha1) continue;
    isMismatched = true;
    await pool.delete(sha1);
  }
  if (isMismatched) {
    throw new Error(
      "One or more cached resources did not match the given checksum. They have been deleted; please retry package upload.",
    );
  }
}

const INVALID_ZIP = "The app upload is invalid: Invalid zip archive";

function orInvalidZip<T>(reading: Promise<T>): Promise<T> {
  return reading.catch((cause) => {
    throw new Error(`${INVALID_ZIP}.`, { cause });
  });
}
