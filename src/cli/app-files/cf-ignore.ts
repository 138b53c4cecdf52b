import ignore from "ignore";

/** What cf CLI never pushes. */
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
  /** @param path relative to the app, with `/`; a directory's ends in `/` */
  ignores(path: string): boolean;
  /** Whether a file may count although a directory above it is ignored. */
  readonly hasExceptions: boolean;
}

/** The built-in list stands after a directory's `.cfignore`, which thus can't take anything back from it. */
export const directoryIgnoreList = (cfIgnore: string) => ignoreList([...cfIgnore.split("\n"), ...BUILT_IN]);

/** In an archive it stands before. */
export const archiveIgnoreList = (cfIgnore: string) => ignoreList([...BUILT_IN, ...cfIgnore.split("\n")]);

/**
 * cf CLI asks of each path by itself which pattern matches it, or a directory above it, last. Git, and the package
 * `ignore`, give up a whole directory as soon as it is ignored. So each run of patterns of one sign becomes a
 * matcher of its own, and the last one that matches decides.
 */
function ignoreList(lines: readonly string[]): IgnoreList {
  const runs: { negative: boolean; matcher: ReturnType<typeof ignore> }[] = [];
  for (const line of lines) {
    const pattern = gitPattern(line);
    if (!pattern) continue;
    let run = runs.at(-1);
    if (run?.negative !== pattern.negative) {
      run = {
        negative: pattern.negative,
        matcher: ignore({ ignorecase: false, allowRelativePaths: true }),
      };
      runs.push(run);
    }
    run.matcher.add({ pattern: pattern.text });
  }
  return {
    ignores: (path) => runs.findLast(({ matcher }) => matcher.ignores(path))?.negative === false,
    hasExceptions: runs.some(({ negative }) => negative),
  };
}

/** A line as cf CLI understands it, written as git would have to be told. */
function gitPattern(line: string): { negative: boolean; text: string } | undefined {
  if (line.startsWith("#")) return undefined;
  const trimmed = line.replace(/\r+$/, "").replace(/^ +| +$/g, "");
  const negative = trimmed.startsWith("!");
  // There, `?` is an ordinary character.
  const text = trimmed
    .slice(negative ? 1 : 0)
    .replace(/^[#!]/, "")
    .replaceAll("?", "\\?");
  if (text === "") return undefined;

  // And a slash in the middle ties a pattern to the app's root only if `*.` follows it.
  const isTied = text.startsWith("/") || text.startsWith("**/") || /[^/+]\/.*\*\./.test(text);
  const hasMiddleSlash = /[^/]\/+[^/]/.test(text);
  return { negative, text: hasMiddleSlash && !isTied ? `**/${text}` : text };
}
