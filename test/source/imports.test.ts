import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const IMPORT = /\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/** The imports among the files of src/, including type imports. */
function importsOf(): Map<string, string[]> {
  const files = globSync("src/**/*.{ts,js}", { cwd: PROJECT_ROOT });
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(PROJECT_ROOT, file), "utf8");
      const imported = [...text.matchAll(IMPORT)].map(([, path = ""]) => join(dirname(file), path));
      return [file, imported.filter((path) => files.includes(path))];
    }),
  );
}

/** A cycle of imports through `file`. */
function cycleThrough(file: string, imports: ReadonlyMap<string, string[]>): string[] | undefined {
  const visited = new Set<string>();
  const search = (path: readonly string[]): string[] | undefined => {
    for (const next of imports.get(path.at(-1) ?? "") ?? []) {
      if (next === file) return [...path, next];
      if (visited.has(next)) continue;
      visited.add(next);
      const found = search([...path, next]);
      if (found) return found;
    }
    return undefined;
  };
  return search([file]);
}

it("finds no import cycle in src/", () => {
  const imports = importsOf();
  expect(imports.size).toBeGreaterThan(100);
  expect(imports.get("src/index.ts")).toContain("src/router.ts");
  expect([...imports.keys()].flatMap((file) => cycleThrough(file, imports)?.join(" → ") ?? [])).toEqual([]);
});

it("finds an import cycle", () => {
  const imports = new Map([
    ["a", ["b"]],
    ["b", ["c", "d"]],
    ["c", []],
    ["d", ["a"]],
  ]);
  expect(cycleThrough("a", imports)).toEqual(["a", "b", "d", "a"]);
  expect(cycleThrough("c", imports)).toBeUndefined();
});

it("imports nothing from src/resource-match/ in src/cache/", () => {
  const imports = [...importsOf()].filter(([file]) => file.startsWith("src/cache/"));
  expect(imports.length).toBeGreaterThan(5);
  expect(
    imports.flatMap(([, paths]) => paths.filter((path) => path.startsWith("src/resource-match/"))),
  ).toEqual([]);
});

it("has at most ten files at the top of src/", () => {
  expect(
    readdirSync(join(PROJECT_ROOT, "src")).filter((name) => name.includes(".")).length,
  ).toBeLessThanOrEqual(10);
});
