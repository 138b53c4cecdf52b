import type { Command } from "commander";
import { parseCacheKey, type ResourceIdentity, resourceKey } from "../../resource-pool/resource-key.ts";
import { isSha1Hex } from "../../resource-pool/sha1.ts";
import { TOMBSTONE_TTL_SECONDS, tombstoneKey } from "../../resource-pool/tombstone.ts";
import { Exit, reasonOf } from "../exit.ts";
import { mapOrdered } from "../files/map-ordered.ts";
import { inputLines } from "../input-lines.ts";
import { finishOnInterrupt, untilAborted } from "../interrupt.ts";
import { counted, note, number, print, printJson } from "../output.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";
import type { Pool } from "../pool/pool.ts";
import { Progress } from "../progress.ts";
import type { WriteOptions } from "./report-added.ts";

interface RemoveOptions extends PoolOptions, WriteOptions {
  from?: string;
}

interface Outcome {
  removed: ResourceIdentity[];
  /** Checksums without a key. A snapshot may hold them all the same, so that they get a tombstone too. */
  notHeld: string[];
  /** Malformed lines. */
  leftOut: number;
}

const LISTS_AT_A_TIME = 4;
const REMOVALS_PER_BATCH = 500;

export function registerRemove(program: Command): void {
  const command = program
    .command("remove")
    .summary("take resources out of the cache")
    .description(
      "Takes resources out of the cache, by SHA-1. The Worker may still claim them for as long as KV serves cached\n" +
        "reads: KV_CACHE_TTL, a minute by default. Each leaves a tombstone for 7 days, by which the next snapshot of the\n" +
        "pool loses it too.\n\n" +
        "A SHA-1 without a key is told, and is no error: a snapshot may hold it, so that it gets a tombstone as well.",
    )
    .argument("[sha1...]", "40 hex digits each")
    .option("--from <file>", "a list with a SHA-1 a line, or lines as `list` prints them; - is stdin")
    .option("--dry-run", "say what would be removed, and write nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  resource-pool remove da39a3ee5e6b4b0d3255bfef95601890afd80709 --remote",
    );

  withPoolOptions(command).action(async (sha1s: string[], options: RemoveOptions) => {
    for (const sha1 of sha1s) {
      if (!isSha1Hex(sha1)) throw new Exit("wrong-usage", `Not a SHA-1 of 40 hex digits: ${sha1}`);
    }
    if (sha1s.length === 0 && options.from === undefined) {
      throw new Exit("wrong-usage", "Nothing to remove: give SHA-1s, or --from <file>.");
    }
    const signal = finishOnInterrupt();
    const outcome: Outcome = { removed: [], notHeld: [], leftOut: 0 };
    const input = await checksums(sha1s, options.from, outcome);
    await withPool(options, signal, async (pool) => {
      try {
        await removeAll(pool, untilAborted(input, signal), outcome, {
          dryRun: options.dryRun ?? false,
          signal,
        });
      } catch (error) {
        const landed = `${counted(outcome.removed.length, "resource")} had been removed before.`;
        throw new Exit("failed", `${reasonOf(error)}\n${landed}`);
      }
    });
    await report(outcome, options, signal.aborted);
  });
}

async function checksums(
  sha1s: readonly string[],
  from: string | undefined,
  outcome: Outcome,
): Promise<AsyncGenerator<string>> {
  const lines = from === undefined ? undefined : await inputLines(from);
  return (async function* () {
    const seen = new Set<string>();
    const isNew = (sha1: string) => !seen.has(sha1) && seen.add(sha1);
    for (const sha1 of sha1s) if (isNew(sha1.toLowerCase())) yield sha1.toLowerCase();
    for await (const { number, text } of lines ?? []) {
      const [sha1 = "", size, ...rest] = text.split(/\s+/);
      if (isSha1Hex(sha1) && /^\d*$/.test(size ?? "") && rest.length === 0) {
        if (isNew(sha1.toLowerCase())) yield sha1.toLowerCase();
      } else {
        outcome.leftOut += 1;
        note(`Left out: line ${number}: it does not begin with a SHA-1 of 40 hex digits`);
      }
    }
  })();
}

/** @param outcome grows with each batch that has landed */
async function removeAll(
  pool: Pool,
  sha1s: AsyncIterable<string>,
  outcome: Outcome,
  { dryRun, signal }: { dryRun: boolean; signal: AbortSignal },
): Promise<void> {
  const progress = new Progress();
  let batch: Found[] = [];

  const land = async () => {
    if (!dryRun) await bury(pool, batch);
    for (const { sha1, resources } of batch) {
      if (resources.length === 0) outcome.notHeld.push(sha1);
      outcome.removed.push(...resources);
    }
    batch = [];
  };
  try {
    for await (const found of mapOrdered(sha1s, LISTS_AT_A_TIME, (sha1) => find(pool, sha1))) {
      batch.push(found);
      if (batch.length >= REMOVALS_PER_BATCH) await land();
      progress.update(() => `${counted(outcome.removed.length, "resource")} removed`);
    }
    if (!signal.aborted) await land();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
  }
}

interface Found {
  sha1: string;
  /** Of each size that has a key. */
  resources: ResourceIdentity[];
}

async function find(pool: Pool, sha1: string): Promise<Found> {
  const resources: ResourceIdentity[] = [];
  for await (const names of pool.list(`${pool.keyPrefix}${sha1}:`)) {
    resources.push(...names.flatMap((name) => parseCacheKey(name, pool.keyPrefix) ?? []));
  }
  return { sha1, resources };
}

/** The tombstones first: a key that is gone without one would come back from a snapshot. */
async function bury(pool: Pool, batch: readonly Found[]): Promise<void> {
  const value = new Date().toISOString();
  const expirationTtl = TOMBSTONE_TTL_SECONDS;
  await pool.put(
    batch.map(({ sha1 }) => ({ key: pool.keyPrefix + tombstoneKey(sha1), value, expirationTtl })),
  );
  const resources = batch.flatMap((found) => found.resources);
  await pool.delete(resources.map(({ sha1, size }) => `${pool.keyPrefix}${resourceKey(sha1, size)}`));
}

async function report(
  { removed, notHeld, leftOut }: Outcome,
  { dryRun = false, json = false }: RemoveOptions,
  interrupted: boolean,
): Promise<void> {
  if (json) {
    await printJson({ removed, notHeld, leftOut, dryRun, interrupted });
  } else {
    for (const sha1 of notHeld) note(`Not held: ${sha1}`);
    const what = `${counted(removed.length, "resource")} ${dryRun ? "would be removed" : "removed"}`;
    await print(`${what}, ${number(notHeld.length)} not held, ${number(leftOut)} left out`);
  }
  if (interrupted) {
    if (!dryRun) note("Interrupted: what is told above has landed; run the same command again to go on.");
    throw new Exit("interrupted");
  }
  if (leftOut > 0) throw new Exit(removed.length + notHeld.length > 0 ? "done-in-part" : "failed");
}
