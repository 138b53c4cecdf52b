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

/** Below the pool's root, where older Cloud Controllers had their blobs. */
const BLOBS_DIRECTORY = "app_bits_cache";

/**
 * The blobs of a foundation on disk, each at `<directory>/app_bits_cache/ab/cd/<sha1>`. Small ones are dealt with
 * synchronously, which takes a fifth of the CPU, for there are thousands.
 *
 * The Cloud Controller applies its two limits in two ways, and so does this: what is stored may be as small or
 * large as a limit, what is matched must lie between them.
 */
export class ResourcePool {
  readonly directory: string;
  readonly #limits: PoolLimits;

  constructor(directory: string, limits: PoolLimits) {
    this.directory = directory;
    this.#limits = limits;
  }

  /** Names in any letter case; undefined for what can't be a blob's name. */
  pathOf(sha1: string): string | undefined {
    const name = sha1.toLowerCase();
    if (!/^[0-9a-f]{40}$/.test(name)) return undefined;
    return join(this.directory, BLOBS_DIRECTORY, name.slice(0, 2), name.slice(2, 4), name);
  }

  has(sha1: string): boolean {
    return this.sizeOf(sha1) !== undefined;
  }

  /** Bytes; undefined where the pool does not have it. */
  sizeOf(sha1: string): number | undefined {
    const path = this.pathOf(sha1);
    return path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.size;
  }

  /**
   * Stores a file, unless the pool has it or its size is out of the limits.
   *
   * @param size bytes
   */
  async add(sha1: string, size: number, content: Content): Promise<void> {
    const path = this.pathOf(sha1);
    if (path === undefined || size < this.#limits.minimumSize || size > this.#limits.maximumSize) return;
    if (this.has(sha1)) return;
    mkdirSync(dirname(path), { recursive: true });
    // In one step, so that nobody is told of half a blob.
    const draft = `${path}.${randomUUID()}`;
    if (Buffer.isBuffer(content)) writeFileSync(draft, content);
    else await writeFile(draft, await content());
    renameSync(draft, path);
  }

  /** SHA-1s of all blobs. */
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
