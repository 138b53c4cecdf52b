import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import { lastHourOf } from "./last-hour.ts";
import type { Matches } from "./match.ts";

/** What has a say over the tiers. */
export interface Overruled {
  /** Resources of which an earlier request of the push was told. */
  told: number;
  /** Claims that the Cloud Controller was asked about before the answer, as far as it answered … */
  verified: number;
  /** … and those of them that it denied. */
  denied: number;
}

/** Logs a request that was answered, and writes its data point. */
export function reportMatches(
  { resources, eligible, matched }: { resources: number; eligible: number; matched: number },
  { cached, matchedByOrigin, faults }: Matches,
  overruled: Overruled,
  { configuration, log }: RequestContext,
): void {
  lastHourOf(configuration).count(eligible, matched, Date.now());
  for (const { details } of faults) log.warn("look-up-incomplete", { ...details });
  const { inMemory: snapshot, asked, heldByKeys: keys } = cached;
  const origin = matchedByOrigin.length;
  log.info("matched", { resources, matched, snapshot, asked, held: { keys, origin }, ...overruled });
  try {
    configuration.metrics?.writeDataPoint({
      indexes: ["resource_matches"],
      doubles: [resources, matched, snapshot, asked, keys, origin, faults.length],
    });
  } catch (error) {
    log.error("metrics-unavailable", { cause: causeOf(error) });
  }
}
