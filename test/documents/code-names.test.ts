import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT } from "./documents.ts";
import { findCode } from "./markdown.ts";

const DOCUMENTS = ["docs/architecture.md", "CONTRIBUTING.md", "STORAGE.md", "test/simulation/README.md"];

const PATH = /^(?:src|test)\/[\w./-]+$/;
const FUNCTION = /^#?\w+\(\)$/;
/** Ends of list items, paragraphs and rows of tables. */
const BLOCK_END = /\n(?=\s*(?:\d+\. |- |\||\n))/;

/** Returns paths that do not exist, and functions that no file of their block declares. */
function findMissing(text: string): string[] {
  return text.split(BLOCK_END).flatMap((block) => {
    const code = findCode(block);
    const paths = code.filter((each) => PATH.test(each));
    const sources = paths.length > 0 ? paths : ["src"];
    const functions = code.filter((each) => FUNCTION.test(each)).map((each) => each.replace("()", ""));
    const undeclared = functions.filter((name) => !sources.some((source) => isDeclared(name, source)));
    return [...paths.filter((path) => !existsSync(join(PROJECT, path))), ...undeclared];
  });
}

/** @param source a file, or a folder with the files below it */
function isDeclared(name: string, source: string): boolean {
  const declaration = new RegExp(`^\\s*(?:export |override |async |function )*${name}[(<](?:.*[{(])?$`, "m");
  const files = source.endsWith(".ts") ? [source] : globSync(join(source, "**/*.ts"), { cwd: PROJECT });
  return files.some((file) => declaration.test(readFileSync(join(PROJECT, file), "utf8")));
}

it.each(DOCUMENTS)("names only files and functions that exist in %s", (path) => {
  expect(findMissing(readFileSync(join(PROJECT, path), "utf8"))).toEqual([]);
});

it("finds a file and a function that do not exist", () => {
  const text = "- `route()` in `src/router.ts`, `src/gone.ts`\n- `route()` in `src/index.ts`\n- `gone()`";
  expect(findMissing(text)).toEqual(["src/gone.ts", "route", "gone"]);
});
