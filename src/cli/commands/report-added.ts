import type { ResourceKey } from "../../resource-pool/resource-key.ts";
import { Exit, reasonOf } from "../exit.ts";
import { counted, note, number, print, printJson } from "../output.ts";
import { type Added, addKeys } from "../pool/add-keys.ts";
import type { Pool } from "../pool/pool.ts";

/** Options of every subcommand that writes. */
export interface WriteOptions {
  dryRun?: boolean;
  json?: boolean;
}

/** What of the input was not taken, by name, once it has come to its end. */
export type LeftOutOf = () => { counts: Record<string, number>; isIncomplete: boolean };

/**
 * Adds `keys` to the pool and tells on stdout what became of them.
 *
 * @throws Exit if something was left out, or on Ctrl-C
 */
export async function addAndReport(
  pool: Pool,
  keys: AsyncIterable<ResourceKey>,
  { dryRun = false, json = false }: WriteOptions,
  signal: AbortSignal,
  leftOut: LeftOutOf,
): Promise<void> {
  const outcome: Added = { added: 0, alreadyThere: 0 };
  try {
    await addKeys(pool, keys, outcome, { dryRun, signal });
  } catch (error) {
    const landed = `${counted(outcome.added, "resource")} had been added before: run it again to go on.`;
    throw new Exit("failed", outcome.added > 0 ? `${reasonOf(error)}\n${landed}` : reasonOf(error));
  }

  const { counts, isIncomplete } = leftOut();
  const interrupted = signal.aborted;
  if (json) {
    await printJson({ ...outcome, ...counts, dryRun, interrupted });
  } else {
    const others = Object.entries(counts).map(([name, count]) => `, ${number(count)} ${inWords(name)}`);
    const added = `${counted(outcome.added, "resource")} ${dryRun ? "would be added" : "added"}`;
    await print(`${added}, ${number(outcome.alreadyThere)} already there${others.join("")}`);
  }
  if (interrupted) {
    if (!dryRun) note("Interrupted: what is told above has landed; run the same command again to go on.");
    throw new Exit("interrupted");
  }
  if (isIncomplete) throw new Exit(outcome.added + outcome.alreadyThere > 0 ? "done-in-part" : "failed");
}

/** `leftOut`: `left out`. */
function inWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
