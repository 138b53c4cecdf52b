import { readFileSync } from "node:fs";
import { join } from "node:path";
import GithubSlugger from "github-slugger";
import { expect, it } from "vitest";
import { parse } from "yaml";
import manifest from "../../package.json" with { type: "json" };
import { findTables, PROJECT } from "./documents.ts";
import { readMarkdown } from "./markdown.ts";

const OPERATING = "docs/operating.md";
const ADDRESS = `${manifest.homepage.replace(/#.*/, "")}/blob/main/${OPERATING}`;
const read = (path: string) => readFileSync(join(PROJECT, path), "utf8");

interface Rule {
  uid: string;
  title: string;
  condition: string;
  for: string;
  execErrState: string;
  labels: { severity: string };
  annotations: { summary: string; runbook_url: string };
  data: {
    refId: string;
    datasourceUid: string;
    model: { refId: string; type?: string; expression?: string };
  }[];
}

const { apiVersion, groups } = parse(read("docs/alerts/grafana.yaml"));
const rules: Rule[] = groups[0].rules;

it("has one group of seven alert rules in the version of Grafana's format", () => {
  expect(apiVersion).toBe(1);
  expect(groups).toMatchObject([{ orgId: 1, name: "resource-matches", folder: "resource-matches" }]);
  expect(rules).toHaveLength(7);
  for (const key of ["uid", "title"] as const) expect(new Set(rules.map((rule) => rule[key])).size).toBe(7);
});

it.each(rules.map((rule) => [rule.title, rule] as const))(
  "has all that Grafana needs for the alert: %s",
  (_, rule) => {
    // Grafana accepts 40 characters.
    expect(rule.uid).toMatch(/^[\w-]{1,40}$/);
    expect(rule.for).toMatch(/^\d+[sm]$/);
    expect(rule.execErrState).toBe("Error");
    // The threshold of the last value of the query decides.
    expect(rule.condition).toBe("C");
    expect(rule.data).toMatchObject([
      { refId: "A", datasourceUid: "DATASOURCE_UID", model: { refId: "A" } },
      { refId: "B", datasourceUid: "__expr__", model: { refId: "B", type: "reduce", expression: "A" } },
      { refId: "C", datasourceUid: "__expr__", model: { refId: "C", type: "threshold", expression: "B" } },
    ]);
    // Grafana replaces $names in these files by environment variables.
    expect(JSON.stringify(rule)).not.toContain("$");
  },
);

it.each(rules.map((rule) => [rule.title, rule] as const))(
  "links to the section of docs/operating.md with the title of the alert: %s",
  (title, { annotations }) => {
    const [path, anchor = ""] = annotations.runbook_url.split("#");
    expect(path).toBe(ADDRESS);
    expect(anchor).toBe(new GithubSlugger().slug(title));
    expect(readMarkdown(read(OPERATING)).anchors).toContain(anchor);
    expect(annotations.summary).toMatch(/^[A-Z].{40,}\.$/);
  },
);

it("lists each alert with its severity in docs/operating.md", () => {
  const rows = findTables(OPERATING, "alert", "fires if", "severity").flatMap(({ rows }) => rows);
  const listed = rows.map(([alert = "", , severity]) => [/^\[(.+)\]/.exec(alert)?.[1], severity]);
  expect(listed).toEqual(rules.map(({ title, labels }) => [title, labels.severity]));
});
