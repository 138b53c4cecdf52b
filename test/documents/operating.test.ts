import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { WIRE } from "../../src/failure.ts";
import { findTables, PROJECT } from "./documents.ts";
import { findCode } from "./markdown.ts";

const OPERATING = "docs/operating.md";

it("the troubleshooting table has each way to fail, by what the log says and what is sent", () => {
  const rows = findTables(OPERATING, "message", "log", "what to do").flatMap(({ rows }) => rows);
  const kindsOf = (log: string) =>
    log
      .split("`refused`, ")
      .slice(1)
      .flatMap((rest) => findCode(rest)[0] ?? []);
  const told = rows.flatMap(([printed = "", log = ""]) =>
    kindsOf(log).map((kind) => [kind, printed] as const),
  );
  expect([...new Set(told.map(([kind]) => kind))].sort()).toEqual(Object.keys(WIRE).sort());
  const unlike = Object.entries(WIRE).filter(
    ([kind, { detail }]) => !told.some(([name, printed]) => name === kind && printed.includes(detail)),
  );
  expect(unlike.map(([kind]) => kind)).toEqual([]);
});

it("each event of the log is told, and what to do where there is something to do", () => {
  const sources = globSync("src/**/*.ts", { cwd: PROJECT, exclude: ["src/cli/**"] });
  const text = sources.map((path) => readFileSync(join(PROJECT, path), "utf8")).join("\n");
  const logged = [...text.matchAll(/\blog(?:\.\w+|\[[^\]]+\])\(\s*"([a-z-]+)"/g)].map(
    ([, event = ""]) => event,
  );
  expect(logged).toContain("matched");
  const told = findTables(OPERATING, "event", "meaning", "what to do").flatMap(({ rows }) =>
    rows.flatMap(([event = ""]) => findCode(event)),
  );
  expect([...new Set(logged)].filter((event) => !told.includes(event))).toEqual([]);
});
