import { reset } from "cloudflare:test";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import alerts from "../docs/alerts/grafana.yaml?raw";
import dashboard from "../docs/grafana-dashboard.json?raw";
import document from "../docs/metrics.md?raw";
import { createLog } from "../src/observability/log.ts";
import { COLUMNS, type Point, type PointEvent, writePoint } from "../src/observability/metrics.ts";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { createDataset, queryPoints } from "./support/analytics-engine.ts";
import { report, runAlarm, setVariables } from "./support/catalog.ts";
import { advanceClock } from "./support/clock.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "./support/origin.ts";
import type { Row } from "./support/sql-request.ts";
import { keyOf, resource, sendWith } from "./support/worker.ts";

/** Words of a query that are not columns: those of the SQL reference of Analytics Engine that are used. */
const WORDS = new Set(
  (
    "SELECT FROM WHERE GROUP BY ORDER DESC AS AND OR IN LIKE INTERVAL MINUTE HOUR DAY NOW sum max argMax if quantileExactWeighted " +
    "toStartOfInterval toUnixTimestamp e9 e6 timestamp index1 _sample_interval resource_matches timeSeries timeFilter"
  ).split(" "),
);
/** `double1 AS name`, or `if(index1 = 'event', double1, double2) AS name`, whose third argument is for the other events. */
const NAMED_COLUMNS = /\b((?:blob|double)\d+) AS (\w+)/g;
const NAMED_BY_EVENT = /\bif\(index1 = '([\w-]+)', (double\d+), (double\d+|0)\) AS (\w+)/g;

/** Names by `blob1`, `double1` and so on, from the source. */
function columnsOf(event: PointEvent): Map<string, string> {
  const { blobs, doubles } = COLUMNS[event];
  const numbered = (kind: string, names: readonly string[]) =>
    names.map((name, index) => [`${kind}${index + 1}`, name] as const);
  return new Map([...numbered("blob", blobs), ...numbered("double", doubles)]);
}

/** Words of a query that are wrong for the events that it selects. */
function mistakesOf(sql: string): string[] {
  const events = [...sql.matchAll(/index1 (?:= |IN )\(?((?:'[\w-]+'(?:, )?)+)/g)].flatMap(
    ([, list = ""]) => list.match(/[\w-]+/g) ?? [],
  );
  const unknown = events.filter((event) => !(event in COLUMNS));
  if (events.length === 0 || unknown.length > 0) return [`events: ${events}`];
  const named = [
    ...[...sql.matchAll(NAMED_COLUMNS)].flatMap(([, column = "", name = ""]) =>
      events.map((event) => ({ event, column, name })),
    ),
    ...[...sql.matchAll(NAMED_BY_EVENT)].flatMap(([, one = "", column = "", other = "", name = ""]) => [
      { event: one, column, name },
      ...(other === "0" ? [] : events.filter((event) => event !== one)).map((event) => ({
        event,
        column: other,
        name,
      })),
    ]),
  ];
  const misnamed = named
    .filter(({ event, column, name }) => columnsOf(event as PointEvent).get(column) !== name)
    .map(({ event, column, name }) => `${event}: ${column} ${name}`);
  // A query may use a column only by its name.
  const rest = sql
    .replaceAll(NAMED_COLUMNS, "")
    .replaceAll(NAMED_BY_EVENT, "")
    .replaceAll("blob1 LIKE '$foundation'", "")
    .replaceAll(/'[^']*'/g, "");
  const names = new Set([...rest.matchAll(/ AS (\w+)/g)].map(([, name]) => name));
  for (const { name } of named) names.add(name);
  const unknownWords = (rest.match(/[a-z_]\w*/gi) ?? []).filter(
    (word) => !WORDS.has(word) && !names.has(word),
  );
  return [...misnamed, ...unknownWords];
}

const queriesOf = [...document.matchAll(/```sql\n(.*?)```/gs)].map(([, sql = ""]) =>
  sql.replaceAll(/\s+/g, " "),
);
const rules: { title: string; data: { model: { query?: string } }[] }[] = parse(alerts).groups[0].rules;
const panels: { title: string; targets: { query: string }[] }[] = JSON.parse(dashboard).panels;

describe("docs/metrics.md", () => {
  it.each(Object.keys(COLUMNS) as PointEvent[])(
    "lists the columns of %s in docs/metrics.md in the order of the source",
    (event) => {
      const [, section = ""] = document.split(`\n### ${event}\n`);
      const [table = ""] = section.split("\n##");
      const rows = [...table.matchAll(/^\| `(\w+)` \| `(\w+)` \| .+ \|$/gm)].map(([, column, name]) => [
        column,
        name,
      ]);
      expect(rows).toEqual([...columnsOf(event)]);
    },
  );

  it.each(queriesOf)("uses each column under its name in the query of docs/metrics.md: %s", (sql) => {
    expect(mistakesOf(sql)).toEqual([]);
  });

  it("finds ten queries in docs/metrics.md", () => {
    expect(queriesOf).toHaveLength(10);
  });
});

describe("docs/grafana-dashboard.json", () => {
  it.each(panels.map(({ title, targets }) => [title, targets] as const))(
    "uses only valid queries for the panel of the dashboard: %s",
    (_, targets) => {
      expect(targets.map(({ query }) => mistakesOf(query))).toEqual(targets.map(() => []));
      // The dashboard chooses the time range and the foundation.
      for (const { query } of targets) {
        expect(query).toContain("$timeFilter");
        expect(query).toContain("blob1 LIKE '$foundation'");
      }
    },
  );
});

describe("docs/alerts/grafana.yaml", () => {
  it.each(rules.map(({ title, data }) => [title, data[0]?.model.query?.replaceAll(/\s+/g, " ") ?? ""]))(
    "uses each column under its name in the alert: %s",
    (_, sql) => {
      expect(mistakesOf(sql)).toEqual([]);
    },
  );
});

describe("the queries run on data points of the Worker", () => {
  const { points, METRICS } = createDataset();
  const count = 40;
  const resources = Array.from({ length: count }, (_, index) => resource(index));

  const timeouts = { ...TIMEOUT_MS };

  beforeAll(async () => {
    collectLogs();
    TIMEOUT_MS.pushSessions = 50;
    let isPresent = true;
    fakeCloudController(respondWithMatches(() => isPresent));
    await setVariables({ METRICS });
    await report({ present: resources.map((_, index) => keyOf(index)), asOf: Date.now() - 1_000 });
    advanceClock(20_000);
    await runAlarm();
    const bindings = { CLOUD_CONTROLLER_URL, METRICS };
    await sendWith(bindings, { resources });
    await sendWith(bindings, "{");
    await sendWith({ ...bindings, MODE: "shadow" }, { resources });
    isPresent = false;
    await sendWith(bindings, { resources });
    const unreachable = { getByName: () => ({ inspect: () => Promise.reject(new Error("overloaded")) }) };
    await sendWith({ ...bindings, PUSH_SESSIONS: unreachable }, { resources });
    advanceClock(20_000);
    await runAlarm();
  });
  afterAll(async () => {
    Object.assign(TIMEOUT_MS, timeouts);
    vi.restoreAllMocks();
    await reset();
  });

  const dashboardQueries = panels.flatMap(({ title, targets }) =>
    targets.map(({ query }) => [title, withoutMacros(query)]),
  );
  it.each([...queriesOf.map((sql) => [sql.slice(0, 80), sql]), ...dashboardQueries])(
    "returns rows with all values for %s",
    async (_, sql = "") => {
      const rows = await queryPoints(sql, points);
      expect(rows).not.toEqual([]);
      expect(rows.flatMap((row) => Object.values(row))).not.toContain(null);
    },
  );

  it("returns ratios of matches in the hit ratio", async () => {
    const rows = await queryPoints(queriesOf.find((sql) => sql.includes("matched_ratio")) ?? "", points);
    // The cache matched all files of the three requests that were answered.
    expect(rows).toEqual([{ foundation: "uaa.example.com", requests: 3, matched_ratio: 1, edge_ratio: 1 }]);
  });
});

/** A query of the dashboard as the plugin sends it. */
function withoutMacros(sql: string): string {
  return sql
    .replaceAll("$timeSeries", "toUnixTimestamp(toStartOfInterval(timestamp, INTERVAL '1' MINUTE)) * 1000")
    .replaceAll("$timeFilter", "timestamp > NOW() - INTERVAL '1' DAY")
    .replaceAll("$foundation", "%");
}

describe("an objective", () => {
  const foundation = "uaa.example.com";
  const log = createLog({});
  const answered = { outcome: "answered", status: 201 };

  /** The rows of the query of the docs that returns `column`, on these requests of the endpoint. */
  async function measure(column: string, ...requests: Point<"resource_matches">[]): Promise<Row[]> {
    const { points, METRICS } = createDataset();
    const target = { foundation, metrics: METRICS };
    for (const point of requests) writePoint("resource_matches", point, target, log);
    writePoint("matches-rejected", { verified: 5, rejected: 3 }, target, log);
    const sql = queriesOf.find((query) => query.includes(` AS ${column}`)) ?? "";
    return queryPoints(sql, points);
  }

  it("counts requests that failed open or failed, but no refusals, against the share of answers", async () => {
    const requests = [
      ...Array.from({ length: 6 }, () => answered),
      { ...answered, origin_requested: 3 },
      { outcome: "failed-open", status: 201 },
      { outcome: "push-again", status: 409 },
      { outcome: "uaa-unavailable", status: 503 },
      { outcome: "failed-open", status: 401 },
      { outcome: "invalid-token", status: 401 },
      { outcome: "relayed", status: 403 },
      { outcome: "rate-limited", status: 429 },
    ];
    expect(await measure("edge_share", ...requests)).toEqual([
      { foundation, requests: 10, edge_share: 0.7, cache_share: 0.6 },
    ]);
  });

  it("measures cold and warm answers of the cache apart, without the time of the body", async () => {
    const times = Array.from({ length: 20 }, (_, index) => index + 1);
    const requests = [
      ...times.map((ms) => ({ ...answered, total_ms: 1_000 + ms, body_ms: 1_000 })),
      ...times.map((ms) => ({ ...answered, total_ms: 100 * ms, [ms % 2 ? "token_ms" : "memory_ms"]: 1 })),
      { ...answered, total_ms: 9_000, origin_requested: 1 },
      { outcome: "failed-open", status: 201, total_ms: 9_000 },
    ];
    expect(await measure("start", ...requests)).toEqual([
      { foundation, start: "cold", requests: 20, p95: 1_900 },
      { foundation, start: "warm", requests: 20, p95: 19 },
    ]);
  });

  it("relates stale matches to a million matches of the cache", async () => {
    const requests = [
      { ...answered, memory_matched: 1_400_000 },
      { ...answered, memory_matched: 50_000, keys_matched: 50_000, origin_matched: 700 },
    ];
    expect(await measure("stale_per_million", ...requests)).toEqual([{ foundation, stale_per_million: 2 }]);
  });
});

it("weights values in a quantile by the sampling interval, as ClickHouse does in its documentation", async () => {
  const weighted = [
    [0, 3],
    [1, 2],
    [2, 1],
    [5, 4],
  ] as const;
  const points = weighted.map(([value, sampleInterval]) => ({
    timestamp: 0,
    index: "",
    sampleInterval,
    blobs: [],
    doubles: [value],
  }));
  const sql = "SELECT quantileExactWeighted(0.5)(double1, _sample_interval) AS median FROM resource_matches";
  expect(await queryPoints(sql, points)).toEqual([{ median: 1 }]);
});

describe("a query is rejected", () => {
  const from = "FROM resource_matches WHERE index1 = 'resource_matches'";
  it.each([
    [
      "a column under the name of another",
      `SELECT sum(matched) AS x FROM (SELECT double10 AS matched ${from})`,
    ],
    ["a column that does not exist", `SELECT sum(more) AS x FROM (SELECT double21 AS more ${from})`],
    ["a number instead of a name", `SELECT sum(double11) AS x ${from}`],
    ["a name that was not selected", `SELECT sum(eligible) AS x FROM (SELECT double11 AS matched ${from})`],
    ["an unknown event", "SELECT double1 AS total_ms FROM resource_matches WHERE index1 = 'other'"],
    [
      "the column of another event",
      "SELECT if(index1 = 'shadowed', double8, double8) AS status FROM resource_matches WHERE index1 IN ('resource_matches', 'shadowed')",
    ],
    [
      "a function that Analytics Engine lacks",
      `SELECT total(matched) AS x FROM (SELECT double11 AS matched ${from})`,
    ],
    ["no event", "SELECT double1 AS total_ms FROM resource_matches"],
  ])("rejects a query with %s", (_, sql) => {
    expect(mistakesOf(sql)).not.toEqual([]);
  });
});
