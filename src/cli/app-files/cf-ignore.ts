import ignore from "ignore";

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
  /** @param path relative to the app, with `/`; a directory's ends in `/` */
  ignores(path: string): boolean;
  /** Whether a pattern may include a file of an ignored directory. */
  readonly hasExceptions: boolean;
}

/** In a directory the built-in patterns come last: `.cfignore` can't override them. */
export const directoryIgnoreList = (cfIgnore: string) => ignoreList([...cfIgnore.split("\n"), ...BUILT_IN]);

/** In an archive they come first. */
export const archiveIgnoreList = (cfIgnore: string) => ignoreList([...BUILT_IN, ...cfIgnore.split("\n")]);

/**
 * cf CLI applies to each path the last pattern that matches it or a directory above it. Git and the package `ignore`
 * skip an ignored directory as a whole. So consecutive patterns with the same sign become one matcher, and the last
 * matcher that matches decides.
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

/** Translates a line from cf CLI's syntax to git's. */
function gitPattern(line: string): { negative: boolean; text: string } | undefined {
  if (line.startsWith("#")) return undefined;
  const trimmed = line.replace(/\r+$/, "").replace(/^ +| +$/g, "");
  const negative = trimmed.startsWith("!");
  // For cf CLI, `?` is an ordinary character.
  const text = trimmed
    .slice(negative ? 1 : 0)
    .replace(/^[#!]/, "")
    .replaceAll("?", "\\?");
  if (text === "") return undefined;

  // For cf CLI, a slash in the middle anchors a pattern to the app's root only if `*.` follows.
  const isAnchored = text.startsWith("/") || text.startsWith("**/") || /[^/+]\/.*\*\./.test(text);
  const hasMiddleSlash = /[^/]\/+[^/]/.test(text);
  return { negative, text: hasMiddleSlash && !isAnchored ? `**/${text}` : text };
}
