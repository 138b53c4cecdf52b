import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "./log.ts";

const HEALING = { blobs: ["foundation"], doubles: ["verified", "rejected"] } as const;

/**
 * Columns of METRICS in the order of `blob1`, `blob2` …, `double1` …, by the event in `index1`. Data points are kept for three
 * months, so that a column keeps its number: add new ones at the end. Analytics Engine takes 20 blobs and 20 doubles.
 */
export const COLUMNS = {
  /** A request of the endpoint, with any outcome. */
  resource_matches: {
    blobs: ["foundation", "outcome"],
    doubles: [
      "total_ms",
      "body_ms",
      "token_ms",
      "memory_ms",
      "keys_ms",
      "origin_ms",
      "push_sessions_ms",
      "status",
      "resources",
      "eligible",
      "matched",
      "bytes_matched",
      "keys_read",
      "origin_requested",
      "memory_matched",
      "keys_matched",
      "origin_matched",
      "decided",
      "rejected",
      "warnings",
    ],
  },
  /** A request of the endpoint in shadow mode. */
  shadowed: {
    blobs: ["foundation", "outcome"],
    doubles: [
      "cloud_controller_ms",
      "cache_ms",
      "status",
      "resources",
      "eligible",
      "would_match",
      "bytes_saved",
      "stale_matches",
      "missed_matches",
      "keys_read",
    ],
  },
  "matches-rejected": HEALING,
  "cache-suspended": HEALING,
  "cache-resumed": HEALING,
  /** A push session was not reached. */
  "push-sessions-unreachable": { blobs: ["foundation"], doubles: ["may_lose_file"] },
  /** A run of the catalog's alarm: after changes, and at least every hour. Times are in ms since the epoch. */
  "catalog-run": { blobs: ["foundation"], doubles: ["published_at", "dirty_since"] },
} as const;

export type PointEvent = keyof typeof COLUMNS;
type Blob<E extends PointEvent> = Exclude<(typeof COLUMNS)[E]["blobs"][number], "foundation">;
type Double<E extends PointEvent> = (typeof COLUMNS)[E]["doubles"][number];

/** The values of a data point by column. The configuration has the foundation. A missing number is 0. */
export type Point<E extends PointEvent> = Record<Blob<E>, string> & Partial<Record<Double<E>, number>>;

/** Writes a data point. Never throws (R2.3). */
export function writePoint<E extends PointEvent>(
  event: E,
  point: Point<E>,
  { metrics, foundation }: Pick<Configuration, "metrics" | "foundation">,
  log: Log,
): void {
  const { blobs, doubles } = COLUMNS[event];
  const values: Record<string, string | number> = { foundation, ...point };
  try {
    metrics?.writeDataPoint({
      indexes: [event],
      blobs: blobs.map((name) => values[name] as string),
      doubles: doubles.map((name) => (values[name] ?? 0) as number),
    });
  } catch (error) {
    log.error("metrics-unavailable", { cause: causeOf(error) });
  }
}
