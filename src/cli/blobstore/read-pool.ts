import { formatCount } from "../../format.ts";
import { parseResourceKey, type ResourceKey } from "../../resources/resource-key.ts";
import { Exit } from "../terminal/exit.ts";
import { untilAborted } from "../terminal/interrupt.ts";
import { Progress } from "../terminal/progress.ts";

/** Sizes by SHA-1. */
export type Pool = ReadonlyMap<string, number>;

/**
 * Reads a blobstore to its end: only then it is sure that it has no second pool.
 *
 * @throws Exit on Ctrl-C
 */
export async function readPool(keys: AsyncIterable<ResourceKey>, signal: AbortSignal): Promise<Pool> {
  const progress = new Progress();
  const pool = new Map<string, number>();
  try {
    for await (const key of untilAborted(keys, signal)) {
      const { sha1, size } = parseResourceKey(key);
      pool.set(sha1, size);
      progress.update(() => `${formatCount(pool.size, "resource")} read`, pool.size);
    }
  } finally {
    progress.clear();
  }
  if (signal.aborted) throw new Exit("interrupted", "Interrupted. Nothing was sent to the Worker.");
  return pool;
}

export async function* keysOf(pool: Pool): AsyncGenerator<ResourceKey> {
  for (const [sha1, size] of pool) yield `${sha1}:${size}`;
}
