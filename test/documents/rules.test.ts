import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseAst } from "vitest/node";
import { findTables, PROJECT } from "./documents.ts";

const RULE = /\bR\d\.\d+\b/g;
const TEST_FUNCTIONS = ["describe", "it", "test"];

/** As much of a node of an ESTree as is needed to find titles. */
interface Node {
  type: string;
  callee?: Node;
  object?: Node;
  name?: string;
  arguments?: Node[];
  value?: unknown;
  quasis?: { value: { cooked: string } }[];
}

/** Rules of docs/architecture.md: the first cells of the tables with the header "rule". */
function readRules(): string[] {
  const tables = findTables("docs/architecture.md", "rule", "");
  return tables.flatMap(({ rows }) => rows.map(([rule = ""]) => rule));
}

/** Titles of the tests of a file, and the strings of the tables from which `each` makes titles. */
function collectTitles(source: string): string[] {
  const titles: string[] = [];
  const visit = (node: unknown) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (!isNode(node)) return;
    if (node.type === "CallExpression" && TEST_FUNCTIONS.includes(findRootName(node))) {
      const [first] = node.arguments ?? [];
      if (first) titles.push(...collectStrings(first));
    }
    Object.values(node).forEach(visit);
  };
  visit(parseAst(source, { lang: "ts" }).body);
  return titles;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value;
}

/** Returns "it" for `it`, `it.skipIf(…)` and `it.each(…)(…)`. */
function findRootName(node: Node | undefined): string {
  return node?.callee || node?.object ? findRootName(node.callee ?? node.object) : (node?.name ?? "");
}

function collectStrings(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(collectStrings);
  if (!isNode(node)) return [];
  if (typeof node.value === "string") return [node.value];
  if (node.quasis) return [node.quasis.map(({ value }) => value.cooked).join("…")];
  return Object.values(node).flatMap(collectStrings);
}

/** Rules without a test, and rules in titles that do not exist. */
function compareRules(rules: readonly string[], titles: readonly string[]) {
  const named = new Set(titles.flatMap((title) => title.match(RULE) ?? []));
  return {
    untested: rules.filter((rule) => !named.has(rule)),
    unknown: [...named].filter((rule) => !rules.includes(rule)).sort(),
  };
}

it("names each rule of docs/architecture.md in the title of a test", () => {
  const rules = readRules();
  expect(rules).toEqual(expect.arrayContaining(["R1.1", "R2.1", "R3.1"]));
  const paths = globSync("test/**/*.test.ts", { cwd: PROJECT });
  const titles = paths
    .filter((path) => path !== join("test", "documents", "rules.test.ts"))
    .flatMap((path) => collectTitles(readFileSync(join(PROJECT, path), "utf8")));
  expect(compareRules(rules, titles)).toEqual({ untested: [], unknown: [] });
});

it("finds a rule without a test and an unknown rule, in every form of a title", () => {
  const source = `
    // it("is a comment (R7.1)", () => {});
    describe.skipIf(isSlow)("a group (R7.2)", () => {
      it.each<[string]>([["a row (R7.3)"], [/isn't/]])(\`fails with %s \${1} (R7.4)\`, async () => {
        expect("no title (R7.5)").toBe("no title");
      });
    });
    test.concurrent("is concurrent (R7.6, R7.7)", options, () => {});
  `;
  const titles = collectTitles(source);
  const rules = ["R7.1", "R7.2", "R7.3", "R7.4", "R7.6"];
  expect(compareRules(rules, titles)).toEqual({ untested: ["R7.1"], unknown: ["R7.7"] });
});
