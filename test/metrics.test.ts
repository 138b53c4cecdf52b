import { describe, expect, it } from "vitest";
import dashboard from "../docs/grafana-dashboard.json?raw";
import document from "../docs/metrics.md?raw";
import { COLUMNS, type PointEvent } from "../src/observability/metrics.ts";

/** Words of a query that are not columns. */
const WORDS = new Set(
  (
    "SELECT FROM WHERE GROUP BY ORDER DESC AS AND IN LIKE INTERVAL DAY NOW sum if quantileExactWeighted toStartOfInterval " +
    "e9 e6 timestamp index1 _sample_interval resource_matches timeSeries timeFilter"
  ).split(" "),
);

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
  const named = [...sql.matchAll(/\b((?:blob|double)\d+) AS (\w+)/g)].map(([, column, name]) => [
    column,
    name,
  ]);
  const misnamed = (events as PointEvent[]).flatMap((event) =>
    named
      .filter(([column = "", name]) => columnsOf(event).get(column) !== name)
      .map((pair) => pair.join(" ")),
  );
  // A query may use a column only by its name.
  const rest = sql
    .replaceAll(/\b(?:blob|double)\d+ AS \w+/g, "")
    .replaceAll("blob1 LIKE '$foundation'", "")
    .replaceAll(/'[^']*'/g, "");
  const names = new Set([...rest.matchAll(/ AS (\w+)/g)].map(([, name]) => name));
  for (const [, name] of named) names.add(name);
  const unknownWords = (rest.match(/[a-z_]\w*/gi) ?? []).filter(
    (word) => !WORDS.has(word) && !names.has(word),
  );
  return [...misnamed, ...unknownWords];
}

const queriesOf = [...document.matchAll(/```sql\n(.*?)```/gs)].map(([, sql = ""]) =>
  sql.replaceAll(/\s+/g, " "),
);
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

  it("finds seven queries in docs/metrics.md", () => {
    expect(queriesOf).toHaveLength(7);
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
    ["no event", "SELECT double1 AS total_ms FROM resource_matches"],
  ])("rejects a query with %s", (_, sql) => {
    expect(mistakesOf(sql)).not.toEqual([]);
  });
});
