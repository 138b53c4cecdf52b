import { randomUUID } from "node:crypto";
import { mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Content } from "../content.ts";

export interface PoolLimits {
  /** Bytes. */
  minimumSize: number;
  /** Bytes. */
  maximumSize: number;
}

/** The directory below the pool's root in which older Cloud Controllers stored blobs. */
const BLOBS_DIRECTORY = "app_bits_cache";

/**
 * The blobs of a foundation on disk. A blob is stored at `<directory>/app_bits_cache/ab/cd/<sha1>`. Small ones are written
 * synchronously, which takes a fifth of the CPU.
 *
 * As in the Cloud Controller, a stored file may have exactly the minimum or the maximum size, but a matched one may not.
 */
export class ResourcePool {
  readonly directory: string;
  readonly #limits: PoolLimits;

  constructor(directory: string, limits: PoolLimits) {
    this.directory = directory;
    this.#limits = limits;
  }

  /** Ignores the case of `sha1`. Returns undefined if it is no SHA-1. */
  pathOf(sha1: string): string | undefined {
    const name = sha1.toLowerCase();
    if (!/^[0-9a-f]{40}$/.test(name)) return undefined;
    return join(this.directory, BLOBS_DIRECTORY, name.slice(0, 2), name.slice(2, 4), name);
  }

  has(sha1: string): boolean {
    return this.sizeOf(sha1) !== undefined;
  }

  /** Returns the size in bytes, or undefined if the pool does not have the blob. */
  sizeOf(sha1: string): number | undefined {
    const path = this.pathOf(sha1);
    return path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.size;
  }

  /**
   * Stores a file, unless the pool has it or its size is outside the limits.
   *
   * @param size bytes
   */
  async add(sha1: string, size: number, content: Content): Promise<void> {
    const path = this.pathOf(sha1);
    if (path === undefined || size < this.#limits.minimumSize || size > this.#limits.maximumSize) return;
    if (this.has(sha1)) return;
    mkdirSync(dirname(path), { recursive: true });
    // Renamed when complete, so that a partial blob is never matched.
    const draft = `${path}.${randomUUID()}`;
    if (Buffer.isBuffer(content)) writeFileSync(draft, content);
    else await writeFile(draft, await content());
    renameSync(draft, path);
  }

  /** Returns the SHA-1s of all blobs. */
  async list(): Promise<string[]> {
    const root = join(this.directory, BLOBS_DIRECTORY);
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  /** Deletes every blob. */
  async wipe(): Promise<void> {
    await rm(join(this.directory, BLOBS_DIRECTORY), { recursive: true, force: true });
  }

  async delete(sha1: string): Promise<void> {
    const path = this.pathOf(sha1);
    if (path !== undefined) await rm(path, { force: true });
  }

  /** Whether a resource of this size may be matched. */
  matchesSize(size: number): boolean {
    return size > this.#limits.minimumSize && size < this.#limits.maximumSize;
  }
}
