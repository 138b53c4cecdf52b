import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyOf } from "../app.ts";
import { makeNames, writeBlobs } from "../blobs.ts";
import { resourcePool, temporaryDirectory } from "../command.ts";
import { startServer } from "../endpoint.ts";
import { startFakeCache } from "../fake-cache.ts";
import { importOf } from "../import-of.ts";

/** Makes the command believe that it writes to a terminal. */
const terminal = (columns: number) => ({
  NODE_OPTIONS: `--import ${importOf(`for (const stream of [process.stdout, process.stderr]) {
    stream.isTTY = true;
    stream.columns = ${columns};
  }`)}`,
});

/** Joins wrapped lines again. */
const unwrap = (text: string, indent: number) =>
  text.replaceAll(new RegExp(`\\n {${indent}}(?=\\S)`, "g"), " ");

/** Whether no line is longer than the terminal, except by a single word after the indent. */
const fits = (text: string, columns: number, indent: number) =>
  text.split("\n").every((line) => line.length <= columns || !line.slice(indent).includes(" "));

test.concurrent("wraps the lines of doctor at words, under the start of their texts", async () => {
  const cache = await startFakeCache();
  const doctor = async (env: Record<string, string>) => {
    const { stdout } = await resourcePool(["doctor", ...cache.urlOption], { env: { ...cache.env, ...env } });
    return stdout;
  };
  const [plain, wrapped, narrow] = await Promise.all([
    doctor({}),
    doctor(terminal(60)),
    doctor(terminal(40)),
  ]);
  expect(fits(plain, 100, 24)).toBe(false);
  expect(fits(wrapped, 60, 24)).toBe(true);
  expect(unwrap(wrapped, 24)).toBe(plain);
  // An indent of 24 would leave too little.
  expect(narrow).not.toMatch(/^ /m);
  expect(narrow.replaceAll(/\s+/g, " ")).toBe(plain.replaceAll(/\s+/g, " "));
});

test.concurrent("wraps results and notes at words, and leaves JSON, redirected output and longer words as they are", async () => {
  const [cwd, cache] = [await temporaryDirectory(), await startFakeCache()];
  const word = "x".repeat(70);
  await writeFile(join(cwd, word), `${keyOf("first").replace(":", " ")}\ncafe 12\n`);
  const run = (columns: number | undefined, ...flags: string[]) =>
    resourcePool(["import", word, "--dry-run", ...flags, ...cache.urlOption], {
      cwd,
      env: { ...cache.env, ...(columns === undefined ? {} : terminal(columns)) },
    });
  const plain = await run(undefined);
  expect(plain).toMatchObject({
    stdout: "1 resource found, 0 skipped, 1 invalid. Nothing was sent to the Worker.\n",
    stderr: "Line 2 is invalid: the checksum is not a SHA-1 of 40 hex digits: cafe\n",
  });
  expect(await run(60)).toMatchObject({
    stdout: "1 resource found, 0 skipped, 1 invalid. Nothing was sent to\nthe Worker.\n",
    stderr: "\r\x1b[KLine 2 is invalid: the checksum is not a SHA-1 of 40 hex\ndigits: cafe\n",
  });
  // Some consoles have no width.
  expect(await run(0)).toMatchObject({ stdout: plain.stdout });
  expect((await run(60, "--json")).stdout).toBe((await run(undefined, "--json")).stdout);

  const missing = await resourcePool(["import", `no-${word}`, ...cache.urlOption], {
    env: { ...cache.env, ...terminal(60) },
  });
  expect(missing.stderr).toMatch(new RegExp(`Can't read\\nno-${word}:\\nit does not exist\\n$`));
});

test.concurrent("wraps the last column of the status under its start", async () => {
  const status = {
    version: "1.0.0",
    time: new Date().toISOString(),
    entries: 12_345,
    keys_waiting: 0,
    removals: 0,
    dirty_since: null,
    published: null,
    suspended_until: null,
    snapshot: { id: "1", entries: 12_345, parts: 1, built_at: "2026-11-30T06:20:00.000Z" },
    refused: {},
    configuration: { KEY_PREFIX: "a b" },
  };
  const url = await startServer((_, response) => void response.end(JSON.stringify(status)));
  const outcome = await resourcePool(["status", "--url", url, "--token", "x"], { env: terminal(50) });
  expect(outcome.stdout).toContain(
    "snapshot      12,345 resources, built at\n              2026-11-30T06:20:00.000Z\n",
  );
});

test.concurrent("shows progress in a form that fits the terminal, without a part of a word", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  writeBlobs(directory, makeNames(30));
  for (const { key } of makeNames(30)) cache.present.add(key);
  // Each item takes 20 s.
  const clock = `let now = 0; performance.now = () => (now += 20_000);`;
  const run = async (columns: number) => {
    const { NODE_OPTIONS } = terminal(columns);
    const args = ["sync", "--prune", "--blobstore", directory, ...cache.urlOption];
    const { stderr } = await resourcePool(args, {
      env: { ...cache.env, NODE_OPTIONS: `${NODE_OPTIONS} --import ${importOf(clock)}` },
    });
    return stderr.split("\r\x1b[K").find((line) => line.includes(" 66 %"));
  };
  const text = "20 resources read, 0 saved";
  expect(await Promise.all([80, 60, 48, 20, 10].map(run))).toEqual([
    `[#############       ]  66 %  ${text}, 0/s, 3 min left`,
    ` 66 %  ${text}, 0/s, 3 min left`,
    ` 66 %  ${text}, 3 min left`,
    " 66 %, 3 min left",
    undefined,
  ]);
});
