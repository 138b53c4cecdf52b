import { COLUMNS, type PointEvent } from "../../src/observability/metrics.ts";

/** A data point, by column names. */
export interface NamedPoint {
  event: string;
  [column: string]: string | number;
}

/** A METRICS binding that collects its data points. */
export function collectPoints() {
  const points: NamedPoint[] = [];
  const METRICS = {
    writeDataPoint({ indexes = [], blobs = [], doubles = [] }: AnalyticsEngineDataPoint): void {
      const [event] = indexes as [PointEvent];
      const named = (names: readonly string[], values: readonly unknown[]) =>
        names.map((name, index) => [name, values[index]]);
      points.push({
        event,
        ...Object.fromEntries([
          ...named(COLUMNS[event].blobs, blobs),
          ...named(COLUMNS[event].doubles, doubles),
        ]),
      });
    },
  };
  return { points, METRICS };
}
