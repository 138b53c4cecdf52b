import { type BuildOutcome, buildSnapshot } from "../../resource-pool/snapshot/build.ts";
import { Exit } from "../exit.ts";
import { number } from "../output.ts";
import type { Pool } from "./pool.ts";
import { snapshotStore } from "./snapshot-store.ts";

const ATTEMPTS = 3;

export type Built = Extract<BuildOutcome, { outcome: "built" | "unchanged" }>;

/**
 * Builds the snapshot of a pool, once more where another builder has been quicker.
 *
 * @param listings Infinity to take in the keys too, 0 for additions alone
 */
export async function build(pool: Pool, listings: number): Promise<Built> {
  const store = snapshotStore(pool);
  const { keyPrefix } = pool;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const outcome = await buildSnapshot(store, { keyPrefix, now: Date.now(), listings });
    if (outcome.outcome === "built" || outcome.outcome === "unchanged") return outcome;
  }
  throw new Exit(
    "failed",
    "Another builder keeps replacing the snapshot; nothing is lost. Run it again later.",
  );
}

/** What is to be known of a snapshot that could not take everything; empty where it could. */
export function complaintOf(built: Built): string {
  if (built.outcome === "unchanged" || built.leftOut === 0) return "";
  return `The snapshot is full: ${number(built.leftOut)} resources did not fit. Keys still do.`;
}
