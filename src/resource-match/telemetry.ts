import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import type { Matches } from "./match.ts";

/** Logs a request that was answered, and writes its data point. */
export function reportMatches(
  resources: number,
  matched: number,
  { cached, matchedByOrigin, faults }: Matches,
  { configuration, log }: RequestContext,
): void {
  for (const { details } of faults) log.warn("look-up-incomplete", { ...details });
  const { inMemory: snapshot, asked, heldByKeys: keys } = cached;
  const origin = matchedByOrigin.length;
  log.info("matched", { resources, matched, snapshot, asked, held: { keys, origin } });
  try {
    configuration.metrics?.writeDataPoint({
      indexes: ["resource_matches"],
      doubles: [resources, matched, snapshot, asked, keys, origin, faults.length],
    });
  } catch (error) {
    log.error("metrics-unavailable", { cause: causeOf(error) });
  }
}
