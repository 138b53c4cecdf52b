import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const IMPORT = /\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/** The files of src/, and what each imports of them, types too. */
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

/** A way from `file` back to itself. */
function circleFrom(file: string, imports: ReadonlyMap<string, string[]>): string[] | undefined {
  const seen = new Set<string>();
  const search = (way: readonly string[]): string[] | undefined => {
    for (const next of imports.get(way.at(-1) ?? "") ?? []) {
      if (next === file) return [...way, next];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = search([...way, next]);
      if (found) return found;
    }
    return undefined;
  };
  return search([file]);
}

it("no file of src/ imports one that imports it, at whatever remove", () => {
  const imports = importsOf();
  expect(imports.size).toBeGreaterThan(100);
  expect(imports.get("src/index.ts")).toContain("src/router.ts");
  expect([...imports.keys()].flatMap((file) => circleFrom(file, imports)?.join(" → ") ?? [])).toEqual([]);
});

it("a circle would be found", () => {
  const imports = new Map([
    ["a", ["b"]],
    ["b", ["c", "d"]],
    ["c", []],
    ["d", ["a"]],
  ]);
  expect(circleFrom("a", imports)).toEqual(["a", "b", "d", "a"]);
  expect(circleFrom("c", imports)).toBeUndefined();
});
