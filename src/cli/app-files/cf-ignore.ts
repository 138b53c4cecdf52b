import { isUtf8 } from "node:buffer";
import { RE2JS, RE2JSSyntaxException } from "re2js";

/** cf CLI never pushes these. */
const BUILT_IN = [
  ".cfignore",
  ".DS_Store",
  ".git",
  ".gitignore",
  ".hg",
  ".svn",
  "_darcs",
  "manifest.yaml",
  "manifest.yml",
];

export const IGNORE_FILE = ".cfignore";

export interface IgnoreList {
  /** @param path relative to the app, with `/`. A pattern may ignore a directory and not its files, so ask for each file. */
  ignores(path: string): boolean;
}

/** In a directory the built-in patterns come last: `.cfignore` can't override them. */
export const directoryIgnoreList = (cfIgnore: Buffer) => ignoreList([...linesOf(cfIgnore), ...BUILT_IN]);

/** In an archive they come first. */
export const archiveIgnoreList = (cfIgnore: Buffer) => ignoreList([...BUILT_IN, ...linesOf(cfIgnore)]);

/** Go refuses a regular expression that is not UTF-8. */
function linesOf(cfIgnore: Buffer): string[] {
  const lines = cfIgnore.toString("latin1").split("\n");
  return lines
    .map((line) => Buffer.from(line, "latin1"))
    .filter((line) => isUtf8(line))
    .map(String);
}

/** The last pattern that matches decides. */
function ignoreList(lines: readonly string[]): IgnoreList {
  const patterns = lines.map(toPattern).filter((pattern) => pattern !== undefined);
  return {
    ignores: (path) => patterns.findLast(({ expression }) => expression.test(path))?.isException === false,
  };
}

interface Pattern {
  expression: RE2JS;
  isException: boolean;
}

/** Placeholder for `*` until all others are replaced. It is the library's own, so in a `.cfignore` it becomes `*` too. */
const STAR = "#$~";

/**
 * Translates a line to a regular expression of Go as github.com/sabhiram/go-gitignore does at 362f984, the version that cf
 * CLI uses. That library escapes only `.` and `?`; it ignores a line that is no valid regular expression.
 */
function toPattern(line: string): Pattern | undefined {
  if (line.startsWith("#")) return undefined;
  let text = line.replace(/\r+$/, "").replace(/^ +| +$/g, "");
  if (text === "") return undefined;
  const isException = text.startsWith("!");
  if (isException) text = text.slice(1);
  text = text.replace(/^[#!]/, "");
  if (/[^/+]\/.*\*\./s.test(text) && !text.startsWith("/")) text = `/${text}`;

  text = text
    .replaceAll(".", "\\.")
    .replace(/^\/\*\*\//, "**/")
    .replaceAll("/**/", "(/|/.+/)")
    .replaceAll("**/", `(|.${STAR}/)`)
    .replaceAll("/**", `(|/.${STAR})`)
    .replaceAll("\\*", `\\${STAR}`)
    .replaceAll("*", "([^/]*)")
    .replaceAll("?", "\\?")
    .replaceAll(STAR, "*");
  const start = text.startsWith("/") ? "^(|/)" : "^(|.*/)";
  const end = text.endsWith("/") ? "(|.*)$" : "(|/.*)$";
  const expression = compile(start + text.replace(/^\//, "") + end);
  return expression && { expression, isException };
}

function compile(expression: string): RE2JS | undefined {
  try {
    return RE2JS.compile(expression);
  } catch (error) {
    if (error instanceof RE2JSSyntaxException) return undefined;
    throw error;
  }
}
