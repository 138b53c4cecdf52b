import { HELD, type ResourceKey } from "../../resource-pool/resource-key.ts";
import { untilAborted } from "../interrupt.ts";
import { counted, number } from "../output.ts";
import { Progress } from "../progress.ts";
import type { Pool } from "./pool.ts";

export interface Added {
  /** Keys written; with a dry run, those that would be. */
  added: number;
  alreadyThere: number;
}

interface AddOptions {
  dryRun: boolean;
  /** When aborted, the running batch is finished and no other begun. */
  signal: AbortSignal;
}

/**
 * Writes those of `keys` that the pool does not hold, a batch at a time as they come.
 *
 * @param outcome counted up with each batch that has landed, and so right even if this throws
 */
export async function addKeys(
  pool: Pool,
  keys: AsyncIterable<ResourceKey>,
  outcome: Added,
  { dryRun, signal }: AddOptions,
): Promise<void> {
  const progress = new Progress();
  let batch = new Set<ResourceKey>();

  const land = async () => {
    const names = [...batch].map((key) => pool.keyPrefix + key);
    const held = await pool.held(names);
    const missing = names.filter((name) => !held.has(name));
    if (!dryRun) await pool.put(missing.map((key) => ({ key, value: HELD })));
    outcome.added += missing.length;
    outcome.alreadyThere += held.size;
    batch = new Set();
  };

  let seen = 0;
  try {
    for await (const key of untilAborted(keys, signal)) {
      seen += 1;
      batch.add(key);
      progress.update(() => told(seen, outcome));
      if (batch.size >= pool.keysPerBatch) await land();
    }
    if (batch.size > 0 && !signal.aborted) await land();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
  }
}

function told(seen: number, { added, alreadyThere }: Added): string {
  return `${counted(seen, "resource")} read, ${number(added)} added, ${number(alreadyThere)} already there`;
}
