import { utimes, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyOf, sha1Of } from "../app.ts";
import { makeBlobs, makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { respond, startFakeCache } from "../fake-cache.ts";

test.concurrent("imports the valid lines of a list, prints why the others are invalid, and exits with 3", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
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
    `${sha1Of("last, without a line break")} 26`,
  ];
  await writeFile(join(directory, "list.txt"), lines.join("\n"));

  const outcome = await resourcePoolInThread(["import", "list.txt", ...cache.urlOption], {
    cwd: directory,
    env: cache.env,
  });

  expect(outcome.code).toBe(3);
  expect(outcome.stdout).toBe("4 resources added, 0 already present, 0 skipped, 10 invalid\n");
  expect(outcome.stderr.trim().split("\n")).toEqual([
    "Line 6 is invalid: the checksum is not a SHA-1 of 40 hex digits: cafe",
    "Line 7 is invalid: it is neither <sha1> <size>, <size> <path> nor a JSON object",
    "Line 8 is invalid: the size is not a whole number of bytes",
    "Line 9 is invalid: the size is not a whole number of bytes",
    "Line 10 is invalid: the size is not a whole number of bytes",
    "Line 11 is invalid: it is neither <sha1> <size>, <size> <path> nor a JSON object",
    "Line 12 is invalid: it is not valid JSON",
    "Line 13 is invalid: it has no checksum",
    "Line 14 is invalid: the size is not a whole number of bytes",
    `Line 15 is invalid: the checksum is not a SHA-1 of 40 hex digits: ${"g".repeat(40)}`,
  ]);
  const expected = ["first", "second", "third", "last, without a line break"];
  expect(cache.present).toEqual(new Set(expected.map(keyOf)));
});

test.concurrent("imports what `bosh ssh` and `find` print, and skips other paths", async () => {
  const cache = await startFakeCache();
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
  const outcome = await resourcePoolInThread(["import", "-", ...cache.urlOption], {
    env: cache.env,
    input: lines.join("\r\n"),
  });
  expect(outcome).toMatchObject({
    code: 3,
    stdout: "4 resources added, 0 already present, 3 skipped, 1 invalid\n",
    stderr: "Line 8 is invalid: it is neither <sha1> <size>, <size> <path> nor a JSON object\n",
  });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));

  const nothing = await resourcePoolInThread(["import", "-", ...cache.urlOption], {
    env: cache.env,
    input: lines[6] ?? "",
  });
  expect(nothing).toMatchObject({ code: 3, stdout: "" });
  expect(nothing.stderr).toMatch(/^No resource found in stdin, among 1 line\. Expected lines like /);
});

test.concurrent("removes the resources of a list, and counts those that were not present and the invalid lines", async () => {
  const cache = await startFakeCache();
  for (const content of ["one", "two", "three", "four"]) cache.present.add(keyOf(content));
  const lines = [
    "# to remove",
    keyOf("one").replace(":", " "),
    sha1Of("two").toUpperCase(),
    "no checksum",
    JSON.stringify({ checksum: { value: sha1Of("three") }, size_in_bytes: 5 }),
    sha1Of("nowhere"),
  ];
  const outcome = await resourcePoolInThread(["remove", "--from", "-", ...cache.urlOption], {
    env: cache.env,
    input: lines.join("\n"),
  });
  expect(outcome).toMatchObject({
    code: 3,
    stdout: "3 resources removed, 1 not present, 1 invalid\n",
    stderr: "Line 4 is invalid: it does not begin with a SHA-1 of 40 hex digits\n",
  });
  expect(cache.present).toEqual(new Set([keyOf("four")]));
});

test.concurrent("sends a long list in batches of 50,000, without more memory than for a short one", async () => {
  const cache = await startFakeCache();
  const keys = makeNames(100_100).map(({ key }) => key);
  const outcome = await resourcePool(["import", "-", ...cache.urlOption], {
    // The list has 5 MB. If something of each line were kept in memory, it would not fit.
    env: { ...cache.env, NODE_OPTIONS: "--max-old-space-size=40" },
    input: keys.map((key) => key.replace(":", " ")).join("\n"),
  });
  expect(outcome).toMatchObject({
    code: 0,
    stdout: "100,100 resources added, 0 already present, 0 skipped, 0 invalid\n",
  });
  expect(cache.received.map(({ present }) => present.length)).toEqual([50_000, 50_000, 100]);
  expect(cache.present.size).toBe(keys.length);
});

test.concurrent("exits with 3 when a line is invalid and the Worker refuses the other one, also in a dry run", async () => {
  const cache = await startFakeCache();
  const refused = { "outside-limits": 1, "too-old": 0, "conflicting-size": 0 };
  const refuseResource = (response: ServerResponse) =>
    respond(response, 200, { changed: 0, unchanged: 0, refused });
  cache.faults.push(refuseResource, refuseResource);
  const run = (input: string, ...flags: string[]) =>
    resourcePoolInThread(["import", "-", ...flags, ...cache.urlOption], { env: cache.env, input });
  const line = keyOf("too small").replace(":", " ");
  expect(await run(line)).toMatchObject({ code: 0 });
  expect(await run(`${line}\ncafe 12`)).toMatchObject({
    code: 3,
    stdout: "0 resources added, 0 already present, 0 skipped, 1 invalid\n",
    stderr: expect.stringMatching(/^Line 2 is invalid: .*\n1 resource not added: the size is outside /),
  });
  expect(await run(`${line}\ncafe 12`, "--dry-run")).toMatchObject({ code: 3 });
});

test.concurrent("prints in a dry run that the status can't be read, and counts without it", async () => {
  const line = keyOf("first").replace(":", " ");
  const cache = await startFakeCache();
  for (const [args, env, reason] of [
    [cache.urlOption, { CF_TOKEN: "another" }, "returned 401: Invalid Auth Token"],
    [["--url", "http://127.0.0.1:9"], cache.env, "No response from http://127.0.0.1:9/"],
  ] as const) {
    const run = (...flags: string[]) =>
      resourcePoolInThread(["import", "-", "--dry-run", ...flags, ...args], { env, input: line });
    const { stderr, ...outcome } = await run();
    expect(outcome).toEqual({
      code: 0,
      stdout: "1 resource found, 0 skipped, 0 invalid. Nothing was sent to the Worker.\n",
    });
    expect(stderr).toMatch(
      /^Can't read the Worker's status\. So it is unknown which resources it would refuse\.\n/,
    );
    expect(stderr).toContain(reason);
    expect(JSON.parse((await run("--json")).stdout)).toMatchObject({ found: 1, refused: null });
  }
});

test.concurrent("reports a list as observed when the file was last modified, and stdin when the command started", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const line = keyOf("first").replace(":", " ");
  await writeFile(join(directory, "list.txt"), line);
  const writtenAt = Date.now() - 2 * 3600 * 1000;
  await utimes(join(directory, "list.txt"), writtenAt / 1000, writtenAt / 1000);
  const run = (file: string) =>
    resourcePool(["import", file, ...cache.urlOption], { cwd: directory, env: cache.env, input: line });

  const begunAt = cache.now();
  expect(await run("list.txt")).toMatchObject({ code: 0 });
  expect(await run("-")).toMatchObject({ code: 0 });
  const [ofFile, ofStdin] = cache.received.map(({ asOf }) => asOf - begunAt);
  // By the Worker's clock, which is hours behind the file's.
  expect(ofFile).toBeLessThan(-2 * 3600 * 1000 + 10_000);
  expect(ofFile).toBeGreaterThan(-2 * 3600 * 1000 - 60_000);
  expect(ofStdin).toBeGreaterThan(-3600 * 1000);
});

test.concurrent("refuses a list with blobs of two pools, and names both places", async () => {
  const cache = await startFakeCache();
  const [one, other] = makeBlobs(2).map(({ name }) => name);
  const input = `1 /shared/cc-resources/${one}\n2 /shared/backup/cc-resources/${other}`;
  const outcome = await resourcePoolInThread(["import", "-", ...cache.urlOption], { env: cache.env, input });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(
    /^There are two resource pools, below \/shared\/cc-resources\/ and below \/shared\/backup\/cc-resources\/\./,
  );
  expect(cache.received).toEqual([]);
});

const AT = ["--url", "http://127.0.0.1:9", "--token", "x"];

test.concurrent.each([
  ["no SHA-1 to remove", ["remove", ...AT], 2, /There is nothing to remove/],
  ["a malformed SHA-1", ["remove", "0".repeat(40), "xyz", ...AT], 2, /Not a SHA-1 of 40 hex digits: xyz/],
  ["a malformed prefix", ["list", "--prefix", "xyz", ...AT], 2, /--prefix must be the start of a SHA-1/],
  ["a missing list", ["import", "nowhere", ...AT], 1, /Can't read nowhere/],
  ["a directory for a list", ["import", ".", ...AT], 1, /^Can't read \.: it is a directory$/m],
])("refuses %s on stderr, with the exit code", async (_, args, code, message) => {
  const outcome = await resourcePoolInThread(args);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
