import { expect, it } from "vitest";
import { CHECKS } from "../../src/cli/doctor/finding.ts";
import { CACHE_CHECKS } from "../../src/operator-api/responses.ts";
import { findTables } from "./documents.ts";
import { findCode } from "./markdown.ts";

it("each line that doctor may print is told, and no other", () => {
  const rows = findTables("docs/cli.md", "line", "what is checked").flatMap(({ rows }) => rows);
  const told = rows.flatMap(([line = ""]) => findCode(line));
  expect(told.sort()).toEqual([...CHECKS, ...CACHE_CHECKS].sort());
});
