import { expect, test } from "vitest";
import { archiveIgnoreList, directoryIgnoreList } from "../../../src/cli/app-files/cf-ignore.ts";
import goLibrary from "../../contract/cfignore-cases.json" with { type: "json" };
import { writeApp } from "../app.ts";
import { resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startEndpoint } from "../endpoint.ts";

const { cases, paths } = goLibrary;

test("ignores the same paths as cf CLI's library for each list of patterns", () => {
  const differences = cases.filter(({ lines, ignored }) => {
    const list = directoryIgnoreList(Buffer.from(lines.join("\n")));
    return paths.filter((path) => list.ignores(path)).join("\n") !== ignored.join("\n");
  });
  expect(differences).toEqual([]);
});

/** Without those that differ only in case from others, or that are a directory of others. */
const FILES = paths.filter(
  (path) => path === path.toLowerCase() && !paths.some((other) => other.startsWith(`${path}/`)),
);

test.concurrent.each(
  [
    ["$RECYCLE.BIN/"],
    ["c++/"],
    ["app/(marketing)"],
    ["[!a].js"],
    ["a|b"],
    ["/"],
    ["**"],
    ["\ufeffnode_modules"],
    ["*", "!*.js"],
  ].map((lines) => ({ lines })),
)("reads the files of a directory that cf CLI reads when .cfignore is $lines", async ({ lines }) => {
  const ignored = cases.find((each) => each.lines.join("\n") === lines.join("\n"))?.ignored;
  const kept = FILES.filter((path) => ignored?.includes(path) === false);
  const app = await temporaryDirectory();
  await writeApp(app, Object.fromEntries([...FILES, ".cfignore"].map((path) => [path, "content"])));
  await writeApp(app, { ".cfignore": lines.join("\n") });
  const { url } = await startEndpoint(() => true);
  const { code, stdout } = await resourcePoolInThread(["check", app, "--json", "--url", url, "--token", "t"]);
  const files: { path: string }[] = JSON.parse(stdout).files;
  expect(files.map(({ path }) => path).sort()).toEqual(kept.sort());
  expect(code).toBe(kept.length > 0 ? 0 : 3);
});

test("lets .cfignore override the built-in patterns in an archive, and not in a directory", () => {
  const lines = Buffer.from("!manifest.yml");
  expect(archiveIgnoreList(lines).ignores("sub/manifest.yml")).toBe(false);
  expect(directoryIgnoreList(lines).ignores("sub/manifest.yml")).toBe(true);
});

test("applies the other lines when a line of .cfignore is not UTF-8 or no regular expression", () => {
  const list = directoryIgnoreList(Buffer.from("caf\xe9\n(a\n*.log\r\n\ufffd", "latin1"));
  expect(["caf\ufffd", "(a", "x.log", "x.log\r"].filter((path) => list.ignores(path))).toEqual(["x.log"]);
});

test("matches a path of 250 characters when a pattern would need exponential time to backtrack", () => {
  const list = directoryIgnoreList(Buffer.from(`${"*a".repeat(12)}b\n((a+)+)+b`));
  expect(list.ignores("a".repeat(250))).toBe(false);
});
