import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyOf, sha1Of } from "./app.ts";
import { makeBlobs } from "./blobs.ts";
import { resourcePool, temporaryProject } from "./command.ts";
import { localKeys, withLocalCache } from "./local-cache.ts";

test.concurrent("a list in both forms is imported; a wrong line is told with its number and what is wrong, and the exit code is 3", async () => {
  const { config, directory } = await temporaryProject();
  const sha1 = sha1Of("x");
  const lines = [
    "\ufeff# a comment",
    `${sha1Of("first")} 5`,
    "",
    `  ${sha1Of("second").toUpperCase()}\t6  \r`,
    JSON.stringify({ checksum: { value: sha1Of("third") }, size_in_bytes: 5, path: "third", mode: "644" }),
    "cafe 12",
    `${sha1} 1 surplus`,
    `${sha1} 12x`,
    `${sha1} -1`,
    `${sha1} 99999999999999999999`,
    sha1,
    '{"checksum":',
    JSON.stringify({ checksum: {}, size_in_bytes: 1 }),
    JSON.stringify({ checksum: { value: sha1 }, size_in_bytes: "1" }),
    `${"g".repeat(40)} 1`,
    `${sha1Of("last, without a line's end")} 26`,
  ];
  await writeFile(join(directory, "list.txt"), lines.join("\n"));

  const outcome = await resourcePool(["import", "list.txt", "--config", config], { cwd: directory });

  expect(outcome.code).toBe(3);
  expect(outcome.stdout).toBe("4 resources added, 0 already there, 10 left out\n");
  expect(outcome.stderr.trim().split("\n")).toEqual([
    "Left out: line 6: the checksum is no SHA-1 of 40 hex digits: cafe",
    "Left out: line 7: it is neither <sha1> <size> nor a JSON object",
    "Left out: line 8: the size is no whole number of bytes",
    "Left out: line 9: the size is no whole number of bytes",
    "Left out: line 10: the size is no whole number of bytes",
    "Left out: line 11: it is neither <sha1> <size> nor a JSON object",
    "Left out: line 12: it is no valid JSON",
    "Left out: line 13: there is no checksum",
    "Left out: line 14: the size is no whole number of bytes",
    `Left out: line 15: the checksum is no SHA-1 of 40 hex digits: ${"g".repeat(40)}`,
  ]);
  const expected = ["first", "second", "third", "last, without a line's end"];
  expect(Object.keys(await localKeys(directory)).sort()).toEqual(expected.map(keyOf).sort());
});

test.concurrent("what is listed can be imported and removed again; removed resources leave tombstones", async () => {
  const { config, directory } = await temporaryProject({ KEY_PREFIX: "a/" });
  const keys = ["one", "two", "three"].map(keyOf);
  await withLocalCache(directory, async (cache) => {
    for (const key of [...keys.map((key) => `a/${key}`), `b/${keys[0]}`]) await cache.put(key, "1");
  });
  const list = await resourcePool(["list", "--json", "--config", config]);
  const other = await temporaryProject({ KEY_PREFIX: "elsewhere/" });
  const imported = await resourcePool(["import", "-", "--config", other.config], { input: list.stdout });
  expect(imported).toMatchObject({ code: 0, stdout: "3 resources added, 0 already there, 0 left out\n" });

  const input = `# to remove\n${keyOf("one").replace(":", " ")}\n${sha1Of("two")}\nno checksum\n${sha1Of("nowhere")}\n`;
  const removed = await resourcePool(["remove", "--from", "-", "--config", other.config], { input });
  expect(removed).toMatchObject({ code: 3, stdout: "2 resources removed, 1 not held, 1 left out\n" });
  expect(removed.stderr).toContain("Left out: line 4: it does not begin with a SHA-1");
  expect(removed.stderr).toContain(`Not held: ${sha1Of("nowhere")}`);

  await withLocalCache(other.directory, async (cache) => {
    const { keys: left } = await cache.list();
    const weekAhead = Date.now() / 1000 + 604_800;
    expect(left.map(({ name }) => name).sort()).toEqual(
      [
        `elsewhere/${keyOf("three")}`,
        `elsewhere/tombstone/${sha1Of("one")}`,
        `elsewhere/tombstone/${sha1Of("two")}`,
        // A snapshot may hold what has no key.
        `elsewhere/tombstone/${sha1Of("nowhere")}`,
      ].sort(),
    );
    for (const { name, expiration } of left) {
      if (name.includes("tombstone")) expect(Math.abs((expiration ?? 0) - weekAhead)).toBeLessThan(120);
    }
    const removedAt = await cache.get(`elsewhere/tombstone/${sha1Of("one")}`);
    expect(new Date(removedAt ?? "").toISOString()).toBe(removedAt);
  });
});

test.concurrent("two commands write to one local cache at the same time, and nothing is lost", async () => {
  const { config, directory } = await temporaryProject();
  const keys = makeBlobs(300).map(({ key }) => key);
  // Otherwise both would create the database.
  await localKeys(directory);
  const run = (some: readonly string[]) =>
    resourcePool(["import", "-", "--config", config], {
      input: some.map((key) => key.replace(":", " ")).join("\n"),
    });
  const outcomes = await Promise.all([run(keys.slice(0, 150)), run(keys.slice(150))]);
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
  expect(Object.keys(await localKeys(directory)).sort()).toEqual([...keys].sort());
});

test.concurrent.each([
  ["nothing to remove", ["remove"], 2, /Nothing to remove/],
  ["a malformed SHA-1", ["remove", "0".repeat(40), "xyz"], 2, /Not a SHA-1 of 40 hex digits: xyz/],
  ["a malformed prefix", ["list", "--prefix", "xyz"], 2, /--prefix is the start of a SHA-1/],
  [
    "a namespace id for the local cache",
    ["list", "--namespace-id", "x"],
    2,
    /--namespace-id goes with --remote/,
  ],
  ["a missing list", ["import", "nowhere"], 1, /Can't read nowhere/],
])("%s: said on stderr, with the exit code", async (_, args, code, message) => {
  const outcome = await resourcePool(args);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
