import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CHECKS } from "../../src/cli/doctor/finding.ts";
import { CACHE_CHECKS } from "../../src/operator-api/responses.ts";
import { findTables, PROJECT } from "./documents.ts";
import { findCode } from "./markdown.ts";

it("documents in docs/cli.md exactly the checks that doctor prints", () => {
  const rows = findTables("docs/cli.md", "line", "what is checked").flatMap(({ rows }) => rows);
  const documented = rows.flatMap(([line = ""]) => findCode(line));
  expect(documented.sort()).toEqual([...CHECKS, ...CACHE_CHECKS].sort());
});

it("documents in docs/operator-api.md the levels that each of the Worker's own checks can have", () => {
  const source = readFileSync(join(PROJECT, "src/operator-api/checks.ts"), "utf8");
  const bodyOf = (name: string) => source.split(`function ${name}(`)[1]?.split("\n}\n")[0] ?? "";
  const checks = [...source.matchAll(/name: "([^"]+)", \.\.\.(check\w+)\(/g)];
  const levels = checks.map(([, check, name = ""]) => [
    check,
    /\bwarn\(/.test(bodyOf(name)),
    /\bfail\(/.test(bodyOf(name)),
  ]);
  expect(levels.map(([check]) => check)).toEqual([...CACHE_CHECKS]);
  const rows = findTables("docs/operator-api.md", "name", "`warn`", "`fail`").flatMap(({ rows }) => rows);
  const documented = rows.map(([check = "", warn, fail]) => [findCode(check)[0], warn !== "", fail !== ""]);
  expect(documented).toEqual(levels);
});
