import { env } from "cloudflare:workers";
import type { Row, SqlRequest, StoredPoint } from "./sql-request.ts";

/** Runs a query of Analytics Engine on data points, outside of workerd, which has no SQL database with own functions. */
export async function queryPoints(sql: string, points: StoredPoint[], now = Date.now()): Promise<Row[]> {
  const request: SqlRequest = { sql, points, now };
  const body = JSON.stringify(request);
  const response = await env.ANALYTICS_ENGINE.fetch("https://analytics.engine/", { method: "POST", body });
  if (!response.ok) throw new Error(`${await response.text()}: ${sql}`);
  return response.json<Row[]>();
}

/** A METRICS binding, and the data points that were written to it. */
export function createDataset() {
  const points: StoredPoint[] = [];
  const METRICS = {
    writeDataPoint({ indexes, blobs, doubles }: AnalyticsEngineDataPoint): void {
      points.push({
        timestamp: Date.now(),
        index: String(indexes?.[0]),
        sampleInterval: 1,
        blobs: (blobs ?? []).map(String),
        doubles: doubles ?? [],
      });
    },
  };
  return { points, METRICS };
}
