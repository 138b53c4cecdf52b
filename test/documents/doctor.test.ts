import { expect, it } from "vitest";
import { CHECKS } from "../../src/cli/doctor/finding.ts";
import { CACHE_CHECKS } from "../../src/operator-api/responses.ts";
import { findTables } from "./documents.ts";
import { findCode } from "./markdown.ts";

it("documents in docs/cli.md exactly the checks that doctor prints", () => {
  const rows = findTables("docs/cli.md", "line", "what is checked").flatMap(({ rows }) => rows);
  const documented = rows.flatMap(([line = ""]) => findCode(line));
  expect(documented.sort()).toEqual([...CHECKS, ...CACHE_CHECKS].sort());
});
