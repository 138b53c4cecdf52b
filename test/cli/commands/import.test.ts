import { utimes, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyOf, sha1Of } from "../app.ts";
import { makeBlobs, makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { answer, fakeCache } from "../fake-cache.ts";

test.concurrent("a list in both forms is imported; a wrong line is told with its number and what is wrong, and the exit code is 3", async () => {
  const [directory, cache] = [await temporaryDirectory(), await fakeCache()];
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

  const outcome = await resourcePoolInThread(["import", "list.txt", ...cache.to], {
    cwd: directory,
    env: cache.env,
  });

  expect(outcome.code).toBe(3);
  expect(outcome.stdout).toBe("4 resources added, 0 already there, 0 skipped, 10 left out\n");
  expect(outcome.stderr.trim().split("\n")).toEqual([
    "Left out: line 6: the checksum is no SHA-1 of 40 hex digits: cafe",
    "Left out: line 7: it is neither <sha1> <size>, <size> <path> nor a JSON object",
    "Left out: line 8: the size is no whole number of bytes",
    "Left out: line 9: the size is no whole number of bytes",
    "Left out: line 10: the size is no whole number of bytes",
    "Left out: line 11: it is neither <sha1> <size>, <size> <path> nor a JSON object",
    "Left out: line 12: it is no valid JSON",
    "Left out: line 13: there is no checksum",
    "Left out: line 14: the size is no whole number of bytes",
    `Left out: line 15: the checksum is no SHA-1 of 40 hex digits: ${"g".repeat(40)}`,
  ]);
  const expected = ["first", "second", "third", "last, without a line's end"];
  expect(cache.present).toEqual(new Set(expected.map(keyOf)));
});

test.concurrent("what bosh ssh and find print of a blobstore is imported, and other paths are skipped", async () => {
  const cache = await fakeCache();
  const blobs = makeBlobs(4);
  const at = (index: number) => `/var/vcap/store/shared/cc-resources/${blobs[index]?.name}`;
  const prefix = "singleton-blobstore/1c5b7a2e-6d0c-4a5c-8f6a-0a4c2f1f3b55: ";
  const lines = [
    `${prefix}stderr | Unauthorized use is strictly prohibited.`,
    `${prefix}stdout | 1 ${at(0)}`,
    `${prefix}stdout | `,
    `2 ${at(1)}`,
    `${at(2)} 3`,
    `${prefix}stdout | ${JSON.stringify({ checksum: { value: blobs[3]?.sha1 }, size_in_bytes: 4 })}`,
    `${prefix}stdout | 77 /var/vcap/store/shared/cc-packages/${blobs[0]?.name.slice("app_bits_cache/".length)}`,
    `${prefix}stdout | find: permission denied`,
  ];
  const outcome = await resourcePoolInThread(["import", "-", ...cache.to], {
    env: cache.env,
    input: lines.join("\r\n"),
  });
  expect(outcome).toMatchObject({
    code: 3,
    stdout: "4 resources added, 0 already there, 3 skipped, 1 left out\n",
    stderr: "Left out: line 8: it is neither <sha1> <size>, <size> <path> nor a JSON object\n",
  });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));

  const nothing = await resourcePoolInThread(["import", "-", ...cache.to], {
    env: cache.env,
    input: lines[6] ?? "",
  });
  expect(nothing).toMatchObject({ code: 3, stdout: "" });
  expect(nothing.stderr).toMatch(
    /^Nothing in stdin names a resource, among 1 line\. Expected are lines like /,
  );
});

test.concurrent("a list of SHA-1s, or of resources in either form, is removed; what is not held is counted", async () => {
  const cache = await fakeCache();
  for (const content of ["one", "two", "three", "four"]) cache.present.add(keyOf(content));
  const lines = [
    "# to remove",
    keyOf("one").replace(":", " "),
    sha1Of("two").toUpperCase(),
    "no checksum",
    JSON.stringify({ checksum: { value: sha1Of("three") }, size_in_bytes: 5 }),
    sha1Of("nowhere"),
  ];
  const outcome = await resourcePoolInThread(["remove", "--from", "-", ...cache.to], {
    env: cache.env,
    input: lines.join("\n"),
  });
  expect(outcome).toMatchObject({
    code: 3,
    stdout: "3 resources removed, 1 not present, 1 left out\n",
    stderr: "Left out: line 4: it does not begin with a SHA-1 of 40 hex digits\n",
  });
  expect(cache.present).toEqual(new Set([keyOf("four")]));
});

test.concurrent("a long list lands in batches of 50,000, and takes no more memory than a short one", async () => {
  const cache = await fakeCache();
  const keys = makeNames(100_100).map(({ key }) => key);
  const outcome = await resourcePool(["import", "-", ...cache.to], {
    // The list is 5 MB, and would be many times that if anything of each line were kept.
    env: { ...cache.env, NODE_OPTIONS: "--max-old-space-size=40" },
    input: keys.map((key) => key.replace(":", " ")).join("\n"),
  });
  expect(outcome).toMatchObject({
    code: 0,
    stdout: "100,100 resources added, 0 already there, 0 skipped, 0 left out\n",
  });
  expect(cache.told.map(({ present }) => present.length)).toEqual([50_000, 50_000, 100]);
  expect(cache.present.size).toBe(keys.length);
});

test.concurrent("what the Worker refuses has been told: a wrong line beside it makes the exit code 3, as in a dry run", async () => {
  const cache = await fakeCache();
  const refused = { "outside-limits": 1, "too-old": 0, "conflicting-size": 0 };
  const refuseIt = (response: ServerResponse) => answer(response, 200, { changed: 0, unchanged: 0, refused });
  cache.faults.push(refuseIt, refuseIt);
  const run = (input: string, ...flags: string[]) =>
    resourcePoolInThread(["import", "-", ...flags, ...cache.to], { env: cache.env, input });
  const line = keyOf("too small").replace(":", " ");
  expect(await run(line)).toMatchObject({ code: 0 });
  expect(await run(`${line}\ncafe 12`)).toMatchObject({
    code: 3,
    stdout: "0 resources added, 0 already there, 0 skipped, 1 left out\n",
    stderr: expect.stringMatching(/^Left out: line 2: .*\n1 resource not added: outside the Worker's /),
  });
  expect(await run(`${line}\ncafe 12`, "--dry-run")).toMatchObject({ code: 3 });
});

test.concurrent("a list counts as seen when it was written last, stdin when the command began", async () => {
  const [directory, cache] = [await temporaryDirectory(), await fakeCache()];
  const line = keyOf("first").replace(":", " ");
  await writeFile(join(directory, "list.txt"), line);
  const writtenAt = Date.now() - 2 * 3600 * 1000;
  await utimes(join(directory, "list.txt"), writtenAt / 1000, writtenAt / 1000);
  const run = (file: string) =>
    resourcePool(["import", file, ...cache.to], { cwd: directory, env: cache.env, input: line });

  const begunAt = cache.now();
  expect(await run("list.txt")).toMatchObject({ code: 0 });
  expect(await run("-")).toMatchObject({ code: 0 });
  const [ofFile, ofStdin] = cache.told.map(({ asOf }) => asOf - begunAt);
  // By the Worker's clock, which is hours behind the one of the file.
  expect(ofFile).toBeLessThan(-2 * 3600 * 1000 + 10_000);
  expect(ofFile).toBeGreaterThan(-2 * 3600 * 1000 - 60_000);
  expect(ofStdin).toBeGreaterThan(-3600 * 1000);
});

test.concurrent("a list of two pools' blobs is refused, with where they lie", async () => {
  const cache = await fakeCache();
  const [one, other] = makeBlobs(2).map(({ name }) => name);
  const input = `1 /shared/cc-resources/${one}\n2 /shared/backup/cc-resources/${other}`;
  const outcome = await resourcePoolInThread(["import", "-", ...cache.to], { env: cache.env, input });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(
    /^Two resource pools lie there, one below \/shared\/cc-resources\/ and another below \/shared\/backup\/cc-resources\//,
  );
  expect(cache.told).toEqual([]);
});

test.concurrent.each([
  ["nothing", "", 0],
  ["comments", "# nothing\n\n", 0],
  ["nothing but what is wrong", "cafe 12\nno such file\n", 2],
])("a list with %s in it ends with exit code 3, and what was expected is told", async (_, input, lines) => {
  const cache = await fakeCache();
  const outcome = await resourcePoolInThread(["import", "-", ...cache.to], { env: cache.env, input });
  expect(outcome).toMatchObject({ code: 3, stdout: "" });
  expect(outcome.stderr).toContain(
    `Nothing in stdin names a resource, among ${lines} lines. Expected are lines like`,
  );
  expect(cache.told).toEqual([]);
});

const AT = ["--url", "http://127.0.0.1:9", "--token", "x"];

test.concurrent.each([
  ["nothing to remove", ["remove", ...AT], 2, /Nothing to remove/],
  ["a malformed SHA-1", ["remove", "0".repeat(40), "xyz", ...AT], 2, /Not a SHA-1 of 40 hex digits: xyz/],
  ["a malformed prefix", ["list", "--prefix", "xyz", ...AT], 2, /--prefix is the start of a SHA-1/],
  ["a missing list", ["import", "nowhere", ...AT], 1, /Can't read nowhere/],
  ["a directory for a list", ["import", ".", ...AT], 1, /^Can't read \.: it is a directory$/m],
])("%s: said on stderr, with the exit code", async (_, args, code, message) => {
  const outcome = await resourcePoolInThread(args);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
