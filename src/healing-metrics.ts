/** A step of the cache's healing as a data point of METRICS, which may be out of order. */
export function writeEvent(
  metrics: AnalyticsEngineDataset | undefined,
  event: "cache-contradicted" | "cache-suspended" | "cache-resumed",
  { asked, denied }: { asked: number; denied: number },
): void {
  try {
    metrics?.writeDataPoint({ indexes: [event], doubles: [asked, denied] });
  } catch {
    // The log has told the same.
  }
}
