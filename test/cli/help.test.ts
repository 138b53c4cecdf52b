import { expect, test } from "vitest";
import { resourcePool, resourcePoolInThread } from "./command.ts";
import { importOf } from "./import-of.ts";

const LINES_MAX = 24;
const COLUMNS_MAX = 80;

test("prints help that fits a screen of 24 lines of 80 characters, for each subcommand", async () => {
  const { stdout: help } = await resourcePoolInThread(["--help"]);
  const subcommands = [...help.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map(([, name = ""]) => name);
  expect(subcommands).toHaveLength(11);
  for (const subcommand of [[], ...subcommands.map((name) => [name])]) {
    const { code, stdout } = await resourcePoolInThread([...subcommand, "--help"]);
    const lines = stdout.trimEnd().split("\n");
    expect({ subcommand, code, lines: lines.length <= LINES_MAX }).toEqual({
      subcommand,
      code: 0,
      lines: true,
    });
    expect(lines.filter((line) => line.length > COLUMNS_MAX)).toEqual([]);
  }
});

test("shows the three most used subcommands without arguments, as wrong usage", async () => {
  const { code, stdout, stderr } = await resourcePoolInThread([]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr.match(/^ {2}[a-z]+/gm)).toEqual(["  doctor", "  check", "  sync"]);
  expect(stderr).toContain("All commands: resource-pool --help");
});

test("names an unknown subcommand, and how to find the right one", async () => {
  expect(await resourcePoolInThread(["synch"])).toEqual({
    code: 2,
    stdout: "",
    stderr: expect.stringMatching(
      /unknown command 'synch'[\s\S]*Run the command with --help to see its usage\./,
    ),
  });
});

test("wraps help at words in a terminal of 60 columns", async () => {
  const env = { NODE_OPTIONS: `--import ${importOf("process.stdout.columns = 60;")}` };
  const { stdout } = await resourcePool(["sync", "--help"], { env });
  const [options = ""] = /^Options:\n(.*?)\n\n/ms.exec(stdout)?.slice(1) ?? [];
  expect(options.split("\n").length).toBeGreaterThan(10);
  expect(options.split("\n").filter((line) => line.length > 60)).toEqual([]);
});
