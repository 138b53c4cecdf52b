import { DatabaseSync } from "node:sqlite";
import type { Row, SqlRequest } from "../sql-request.ts";

const COLUMNS_MAX = 20;
const UNIT_SECONDS = { MINUTE: 60, HOUR: 3_600, DAY: 86_400 };

/**
 * Runs a query of Analytics Engine in SQLite. Both have the same `SELECT`. What differs: functions that SQLite lacks, the levels of
 * quantiles, and intervals. SQLite accepts more than Analytics Engine, so that a test has to restrict the words of the queries.
 */
export function runSql({ sql, points, now }: SqlRequest): Row[] {
  const database = new DatabaseSync(":memory:");
  try {
    const numbers = Array.from({ length: COLUMNS_MAX }, (_, index) => index + 1);
    const columns = [
      "timestamp INTEGER", // seconds since the epoch
      "index1 TEXT",
      "_sample_interval REAL",
      ...numbers.map((number) => `blob${number} TEXT`),
      ...numbers.map((number) => `double${number} REAL`),
    ];
    database.exec("PRAGMA case_sensitive_like = ON");
    database.exec(`CREATE TABLE resource_matches (${columns.join()})`);
    const insert = database.prepare(`INSERT INTO resource_matches VALUES (${columns.map(() => "?").join()})`);
    for (const { timestamp, index, sampleInterval, blobs, doubles } of points) {
      // Analytics Engine returns "" and 0 for columns that were not written.
      const values = numbers.flatMap((number) => blobs[number - 1] ?? "");
      values.push(...(numbers.map((number) => doubles[number - 1] ?? 0) as never[]));
      insert.run(Math.floor(timestamp / 1000), index, sampleInterval, ...values);
    }
    addFunctions(database, Math.floor(now / 1000));
    return database.prepare(toSqlite(sql)).all() as Row[];
  } finally {
    database.close();
  }
}

function toSqlite(sql: string): string {
  return sql
    .replaceAll(/\bquantileExactWeighted\(([\d.]+)\)\(/g, "quantileExactWeighted($1, ")
    .replaceAll(/\bINTERVAL '(\d+)' (MINUTE|HOUR|DAY)\b/g, (_, count: string, unit) =>
      String(Number(count) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS]),
    );
}

/** Times are seconds since the epoch. */
function addFunctions(database: DatabaseSync, now: number): void {
  database.function("NOW", () => now);
  database.function("toUnixTimestamp", (time) => time);
  database.function(
    "toStartOfInterval",
    (time, interval) => Number(time) - (Number(time) % Number(interval)),
  );
  type Latest = { value: Row[string]; by: number };
  database.aggregate("argMax", {
    start: (): Latest => ({ value: null, by: Number.NEGATIVE_INFINITY }),
    step: (latest: Latest, value: Row[string], by: number) => (by > latest.by ? { value, by } : latest),
    result: ({ value }: Latest) => value,
  } as never);
  type Weighted = { level: number; values: { value: number; weight: number }[] };
  database.aggregate("quantileExactWeighted", {
    start: (): Weighted => ({ level: 0, values: [] }),
    step: ({ values }: Weighted, level: number, value: number, weight: number) => ({
      level,
      values: [...values, { value, weight }],
    }),
    result: quantile,
  } as never);
}

/** The first value, in order, at which the sum of the weights reaches `level` of their total. */
function quantile({ level, values }: { level: number; values: { value: number; weight: number }[] }) {
  const sorted = values.toSorted((one, other) => one.value - other.value);
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  for (const { value, weight } of sorted) {
    sum += weight;
    if (sum >= level * total) return value;
  }
  return null;
}
