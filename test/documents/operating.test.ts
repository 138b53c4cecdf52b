import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { WIRE } from "../../src/failure.ts";
import { findTables, PROJECT } from "./documents.ts";
import { findCode } from "./markdown.ts";

const OPERATING = "docs/operating.md";

/** Returns the kinds after "`refused`, " in a cell. */
function findRefusedKinds(cell: string): string[] {
  const [, ...rests] = cell.split("`refused`, ");
  return rests.flatMap((rest) => findCode(rest)[0] ?? []);
}

it("documents the log kind and the message of every failure in the troubleshooting table", () => {
  const rows = findTables(OPERATING, "message", "log", "what to do").flatMap(({ rows }) => rows);
  const documented = rows.flatMap(([message = "", log = ""]) =>
    findRefusedKinds(log).map((kind) => ({ kind, message })),
  );
  expect([...new Set(documented.map(({ kind }) => kind))].sort()).toEqual(Object.keys(WIRE).sort());
  const withoutMessage = Object.entries(WIRE).filter(
    ([kind, { detail }]) => !documented.some((row) => row.kind === kind && row.message.includes(detail)),
  );
  expect(withoutMessage.map(([kind]) => kind)).toEqual([]);
});

it("documents every log event", () => {
  const sources = globSync("src/**/*.ts", { cwd: PROJECT, exclude: ["src/cli/**"] });
  const text = sources.map((path) => readFileSync(join(PROJECT, path), "utf8")).join("\n");
  const logged = [...text.matchAll(/\blog(?:\.\w+|\[[^\]]+\])\(\s*"([a-z-]+)"/g)].map(
    ([, event = ""]) => event,
  );
  expect(logged).toContain("matched");
  const documented = findTables(OPERATING, "event", "meaning", "what to do").flatMap(({ rows }) =>
    rows.flatMap(([event = ""]) => findCode(event)),
  );
  expect([...new Set(logged)].filter((event) => !documented.includes(event))).toEqual([]);
});
