import type { Command } from "commander";
import { parseCacheKey } from "../../resource-pool/resource-key.ts";
import { readPointer, snapshotNames } from "../../resource-pool/snapshot/store.ts";
import { TOMBSTONE_PREFIX } from "../../resource-pool/tombstone.ts";
import { reasonOf } from "../exit.ts";
import { bytes, counted, note, print, printJson, table } from "../output.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";
import type { Pool } from "../pool/pool.ts";
import { snapshotStore } from "../pool/snapshot-store.ts";
import { Progress } from "../progress.ts";

/** Bytes, each the first that is too large for its row. */
const SIZE_LIMITS = [1, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, Number.POSITIVE_INFINITY];

interface Sum {
  resources: number;
  bytes: number;
}

interface Stats extends Sum {
  tombstones: number;
  /** What the snapshot holds, keys or not, and when it was built; null where there is none. */
  snapshot: { resources: number; builtAt: string } | null;
  /** Keys with the prefix that are neither resources nor tombstones. */
  otherKeys: number;
  /** A row for each of the limits. */
  sizes: (Sum & { below: number | null })[];
}

export function registerStats(program: Command): void {
  const command = program
    .command("stats")
    .summary("count the resources in the cache")
    .description(
      "Counts the keys of resources in the cache, their bytes and their sizes; what the snapshot holds, with keys or\n" +
        "without; and the tombstones that removals leave for 7 days.",
    )
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool stats --remote");

  withPoolOptions(command).action(async (options: PoolOptions & { json?: boolean }) => {
    const stats = await withPool(options, new AbortController().signal, collect);
    if (options.json) await printJson(stats);
    else await printStats(stats);
  });
}

async function collect(pool: Pool): Promise<Stats> {
  const progress = new Progress();
  const sizes = SIZE_LIMITS.map((limit) => ({
    below: Number.isFinite(limit) ? limit : null,
    resources: 0,
    bytes: 0,
  }));
  const stats: Stats = {
    resources: 0,
    bytes: 0,
    snapshot: await snapshotOf(pool),
    tombstones: 0,
    otherKeys: 0,
    sizes,
  };
  for await (const names of pool.list(pool.keyPrefix)) {
    for (const name of names) {
      const resource = parseCacheKey(name, pool.keyPrefix);
      if (resource) {
        const row = sizes[SIZE_LIMITS.findIndex((limit) => resource.size < limit)];
        for (const sum of row ? [stats, row] : [stats]) {
          sum.resources += 1;
          sum.bytes += resource.size;
        }
      } else if (name.startsWith(pool.keyPrefix + TOMBSTONE_PREFIX)) {
        stats.tombstones += 1;
      } else {
        stats.otherKeys += 1;
      }
    }
    progress.update(() => `${counted(stats.resources, "resource")} counted`);
  }
  progress.clear();
  return stats;
}

async function snapshotOf(pool: Pool): Promise<Stats["snapshot"]> {
  try {
    const current = await readPointer(snapshotStore(pool), snapshotNames(pool.keyPrefix).current);
    return current ? { resources: current.entries, builtAt: current.builtAt } : null;
  } catch (error) {
    note(reasonOf(error));
    return null;
  }
}

async function printStats(stats: Stats): Promise<void> {
  const rows = stats.sizes.map(({ below, resources, bytes: size }, index) => {
    const from = SIZE_LIMITS[index - 1];
    const range =
      below === 1 ? "empty" : `${below ? `below ${bytes(below)}` : `${bytes(from ?? 0)} and more`}`;
    return [range, counted(resources, "resource"), bytes(size)];
  });
  const total = ["in all", counted(stats.resources, "resource"), bytes(stats.bytes)];
  await print(table([...rows, total], [1, 2]));
  const { snapshot } = stats;
  await print(
    `\n${snapshot ? `a snapshot of ${counted(snapshot.resources, "resource")}, built at ${snapshot.builtAt}` : "no snapshot"}`,
  );
  await print(`${counted(stats.tombstones, "tombstone")}, ${counted(stats.otherKeys, "other key")}`);
}
