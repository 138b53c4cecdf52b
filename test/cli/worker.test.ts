import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test, vi } from "vitest";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { keyOf, sha1Of, writeApp } from "./app.ts";
import { type Blob, makeBlobs, makeNames, writeBlobs } from "./blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "./command.ts";
import { startEndpoint, startServer } from "./endpoint.ts";
import { S3_CREDENTIALS, s3Listing } from "./s3-server.ts";
import { startWorker } from "./worker.ts";

/** Small limits, so that files outside of them are easily made. Keys of the local KV are not needed here. */
const VARIABLES = { MINIMUM_SIZE: "1", MAXIMUM_SIZE: "1000", MINIMUM_FILE_MODE: "0600", KEYS_PER_DAY: "0" };

let worker: Awaited<ReturnType<typeof startWorker>>;
beforeAll(async () => {
  worker = await startWorker(VARIABLES);
}, 90_000);

const run = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  resourcePool([...args, ...worker.urlOption], { env: worker.env, ...options });
/** Like `run`, for commands that report nothing. */
const query = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  resourcePoolInThread([...args, ...worker.urlOption], { env: worker.env, ...options });

const asLine = (key: string) => key.replace(":", " ");
const listed = async (...args: string[]) => {
  const { stdout } = await query(["list", ...args]);
  return stdout.split("\n").filter((line) => line !== "");
};

/** These tests run one after the other: they share the cache. */
test("adds, lists, checks and removes files", async () => {
  const cwd = await temporaryDirectory();
  await writeApp(cwd, { "app/a": "first", "app/b": "second", "app/large": "x".repeat(1001) });

  const added = await run(["add", "app"], { cwd });
  expect(added).toMatchObject({ code: 0, stdout: "2 resources added, 0 already present, 0 unreadable\n" });
  expect(added.stderr).toMatch(/^1 resource not added: the size is outside MINIMUM_SIZE and MAXIMUM_SIZE/);
  expect((await run(["add", "app"], { cwd })).stdout).toMatch(/^0 resources added, 2 already present/);
  expect(await listed()).toEqual(["first", "second"].map(keyOf).map(asLine).sort());

  await untilPublished();
  const check = async () => JSON.parse((await query(["check", "app", "--json"], { cwd })).stdout);
  const { summary, resources } = await check();
  expect(summary).toMatchObject({ matched: { files: 2 }, upload: { files: 1 } });
  expect(resources).toEqual([
    { checksum: { value: sha1Of("first") }, size_in_bytes: 5, path: "a", mode: "644" },
    { checksum: { value: sha1Of("second") }, size_in_bytes: 6, path: "b", mode: "644" },
  ]);

  await writeApp(cwd, { "app/readonly": "second" });
  await chmod(join(cwd, "app/readonly"), 0o444);
  const { files } = await check();
  expect(files.map(({ path, reason }: Record<string, unknown>) => [path, reason])).toEqual([
    ["a", undefined],
    ["b", "same content as readonly, whose mode 0444 lacks 0600"],
    ["large", "too large"],
    ["readonly", "mode 0444 lacks 0600"],
  ]);

  const removed = await run(["remove", sha1Of("first").toUpperCase(), sha1Of("nowhere")]);
  expect(removed).toMatchObject({ code: 0, stdout: "1 resource removed, 1 not present, 0 invalid\n" });
  expect(await listed("--json")).toEqual([
    JSON.stringify({ checksum: { value: sha1Of("second") }, size_in_bytes: 6 }),
  ]);
});

let blobstore: string;
const blobs = makeNames(11_000);

test("syncs a blobstore of 11,000 blobs, lists it page by page, and imports a part again", async () => {
  blobstore = await temporaryDirectory();
  writeBlobs(blobstore, blobs);
  const sync = await run(["sync", "--blobstore", blobstore, "--json"]);
  expect(sync.code).toBe(0);
  expect(JSON.parse(sync.stdout)).toMatchObject({
    added: 11_000,
    alreadyPresent: 0,
    skipped: 0,
    unreadable: 0,
  });

  const lines = blobs.map(({ key }) => asLine(key)).sort();
  expect(await listed("--prefix", "00")).toEqual(lines);
  const some = lines.filter((line) => line.startsWith("0042"));
  const imported = await run(["import", "-"], { input: [...some, `${"0".repeat(40)} 7`].join("\n") });
  expect(imported.stdout).toBe("1 resource added, 110 already present, 0 skipped, 0 invalid\n");
});

test("refuses to prune more than a tenth of the cache, or all, and sends nothing", async () => {
  const [empty, wrong] = [await temporaryDirectory(), await temporaryDirectory()];
  writeBlobs(wrong, makeBlobs(3));
  const prune = (place: string, ...args: string[]) =>
    query(["sync", "--prune", "--blobstore", place, ...args]);

  expect(await prune(empty)).toMatchObject({
    code: 3,
    stdout: "",
    stderr: expect.stringMatching(/^No resource pool found below /),
  });
  expect(await prune(wrong, "--dry-run")).toMatchObject({
    code: 0,
    stdout: "3 resources found, 0 skipped, 0 unreadable, 11,002 to remove. Nothing was sent to the Worker.\n",
    stderr: "This is more than a tenth of the cache. It would be refused without --yes.\n",
  });
  expect(await prune(wrong)).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      /^Refused: 11,002 of the 11,002 resources in the cache are not in the blobstore: more than a tenth\./,
    ),
  });
  expect(JSON.parse((await query(["status", "--json"])).stdout)).toMatchObject({ entries: 11_002 });
});

test("counts in a dry run what the Worker then refuses, with the same exit code", async () => {
  const cwd = await temporaryDirectory();
  const list = join(cwd, "list.txt");
  const sizes = [0, 1, 1000, 1001, 5_000_000];
  writeFileSync(list, sizes.map((size) => `${sha1Of(`dry ${size}`)} ${size}\n`).join(""));
  const dry = await query(["import", list, "--dry-run"]);
  expect(dry).toMatchObject({
    code: 0,
    stdout: "5 resources found, 3 would be refused, 0 skipped, 0 invalid. Nothing was sent to the Worker.\n",
    stderr: expect.stringMatching(
      /^3 resources would not be added: the size is outside MINIMUM_SIZE and MAXIMUM_SIZE\./,
    ),
  });

  const yesterday = Date.now() / 1000 - 24 * 3600 - 5;
  utimesSync(list, yesterday, yesterday);
  for (const args of [["--dry-run"], []]) {
    const old = await query(["import", list, "--json", ...args]);
    expect(old).toMatchObject({ code: 3 });
    expect(JSON.parse(old.stdout).refused).toMatchObject({ "outside-limits": 0, "too-old": 5 });
  }
  const { stderr } = await query(["import", list, "--dry-run"]);
  expect(stderr).toMatch(
    /^5 resources would not be added: observed more than a day ago, or before the last `forget`\. /,
  );
  expect((await listed("--prefix", sha1Of("dry 1"))).length).toBe(0);
});

test("prunes 500 of 11,000 blobs, and keeps those that were added after the command started (R1.3)", async () => {
  const missing = blobs.slice(0, 500);
  for (const { name } of missing) rmSync(join(blobstore, name));
  // The last page of the listing arrives after the platform has lost one of them and got it again.
  const [returned] = missing as [Blob];
  const listing = await startServer(async (_, response) => {
    await run(["remove", returned.sha1]);
    await run(["import", "-"], { input: asLine(returned.key) });
    response.writeHead(200, { "Content-Type": "application/xml" });
    response.end(s3Listing(blobs.slice(500), false));
  });
  const bucket = ["--blobstore", "s3://pool", "--endpoint", listing];
  const byBucket = await resourcePool(["sync", "--prune", "--json", ...bucket, ...worker.urlOption], {
    env: { ...worker.env, ...S3_CREDENTIALS },
  });
  expect(byBucket).toMatchObject({ code: 0 });
  // The other 499, and two that earlier tests have added.
  expect(JSON.parse(byBucket.stdout)).toMatchObject({
    added: 0,
    alreadyPresent: 10_500,
    removed: 501,
    addedSince: 1,
    skipped: 0,
    unreadable: 0,
    interrupted: false,
  });
  expect(await listed("--prefix", returned.sha1)).toEqual([asLine(returned.key)]);

  const byDirectory = await run(["sync", "--prune", "--blobstore", blobstore]);
  expect(byDirectory).toMatchObject({
    code: 0,
    stdout: "0 resources added, 10,500 already present, 0 skipped, 0 unreadable, 1 removed, 0 added since\n",
  });
});

test("verifies the cache with the Cloud Controller, and removes rejected resources with --remove (R1.6)", async () => {
  const rejected = new Set(blobs.slice(601, 611).map(({ sha1 }) => sha1));
  let isMatching = true;
  const cloudController = await startEndpoint(({ checksum }) => isMatching && !rejected.has(checksum.value));
  const verify = (...args: string[]) => query(["verify", "--cloud-controller", cloudController.url, ...args]);

  // Files of 1 byte, the Worker's MINIMUM_SIZE: the Cloud Controller matches only larger ones.
  const skipped = blobs.slice(500).filter(({ content }) => content.length === 1).length;
  const all = await verify();
  expect(all).toMatchObject({
    code: 3,
    stdout: `${(10_490 - skipped).toLocaleString("en")} resources matched, 10 rejected, ${skipped} skipped\n`,
  });
  const { requests } = cloudController;
  expect(Math.max(...requests.map(({ resources }) => resources.length))).toBe(250);
  expect(requests[0]?.resources[0]).toEqual({
    checksum: { value: expect.any(String) },
    size_in_bytes: expect.any(Number),
    mode: "0744",
  });

  requests.length = 0;
  await verify("--sample", "300");
  const sample = requests.flatMap(({ resources }) => resources.map(({ checksum }) => checksum.value));
  expect(sample.length).toBeGreaterThan(250);
  expect(new Set(sample).size).toBe(sample.length);

  isMatching = false;
  const off = await verify("--sample", "20", "--remove", "--json");
  expect(off.code).toBe(3);
  expect(off.stderr).toMatch(/^Nothing was removed\. The Cloud Controller matches nothing\. /);
  isMatching = true;
  const removed = await verify("--remove", "--json");
  expect(removed.code).toBe(0);
  expect(JSON.parse(removed.stdout)).toMatchObject({ rejected: 10, removed: 10, interrupted: false });
  expect(JSON.parse((await query(["status", "--json"])).stdout)).toMatchObject({ entries: 10_490 });

  const itself = await query(["verify", "--cloud-controller", `${worker.url}/`]);
  expect(itself).toMatchObject({ code: 2, stdout: "" });
  expect(itself.stderr).toContain("leads to a Worker, and not to the Cloud Controller");
});

test("prints the status, also for a token that may only read", async () => {
  const { stdout } = await query(["status"]);
  expect(stdout).toMatch(/^version +\d+\.\d+\.\d+\nentries +10,490 resources\n/);
  expect(stdout).toMatch(/^removals +514$/m);
  expect(stdout).toMatch(/^MAXIMUM_SIZE +1000$/m);

  const env = { CF_TOKEN: await worker.tokenWith("admin_read_only") };
  const reader = (...args: string[]) => resourcePoolInThread([...args, ...worker.urlOption], { env });
  expect(JSON.parse((await reader("status", "--json")).stdout)).toMatchObject({ entries: 10_490 });
  const refused = await reader("remove", sha1Of("second"));
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toContain("returned 403: You are not authorized to perform the requested action");
});

test("publishes everything again, and empties the cache only with --yes", async () => {
  const published = await query(["publish"]);
  expect(published).toMatchObject({
    code: 0,
    stdout: "Started to publish 10,490 resources again. `status` shows the progress.\n",
  });

  const unconfirmed = await query(["forget"]);
  expect(unconfirmed).toMatchObject({ code: 2, stdout: "" });
  expect(unconfirmed.stderr).toContain(`This would remove 10,490 resources from the cache of ${worker.url}.`);
  const forgotten = await run(["forget", "--yes"]);
  expect(forgotten).toMatchObject({
    code: 0,
    stdout: `Removed 10,490 resources from the cache of ${worker.url}.\n`,
  });
  expect(await listed()).toEqual([]);

  // A list from before is too old now, as the dry run says.
  const list = join(await temporaryDirectory(), "list.txt");
  writeFileSync(list, asLine(keyOf("first")));
  const before = Date.now() / 1000 - 600;
  utimesSync(list, before, before);
  for (const args of [["--dry-run"], []]) {
    const old = await query(["import", list, "--json", ...args]);
    expect(old).toMatchObject({ code: 3 });
    expect(JSON.parse(old.stdout).refused).toMatchObject({ "too-old": 1 });
  }
});

test("says that the cache is empty, and counts nothing of it", async () => {
  expect(await query(["list"])).toEqual({ code: 0, stdout: "", stderr: "The cache is empty.\n" });
  const prefixed = await query(["list", "--prefix", "AB"]);
  expect(prefixed.stderr).toBe("The cache has no SHA-1 that starts with ab.\n");
  const { stdout } = await query(["status"]);
  expect(stdout).toMatch(/^entries +none: the cache is empty$/m);
  expect(stdout).toMatch(/^suspended +no$/m);
  expect((await query(["publish"])).stdout).toBe(
    "Started to publish the empty cache again. `status` shows the progress.\n",
  );
  expect((await query(["forget"])).stderr).toBe(
    `The cache of ${worker.url} is empty. To refuse earlier observations, add --yes.\n`,
  );
  expect((await query(["forget", "--yes"])).stdout).toBe(`The cache of ${worker.url} was already empty.\n`);
  const cloudController = await startEndpoint(() => true);
  expect(await query(["verify", "--cloud-controller", cloudController.url])).toEqual({
    code: 0,
    stdout: "No resource was verified\n",
    stderr: "The cache is empty.\n",
  });
});

/** The catalog publishes a second after a report, and its first snapshot right after that. */
async function untilPublished(): Promise<void> {
  const isPublished = async () => {
    const headers = { Authorization: `bearer ${worker.env.CF_TOKEN}` };
    const response = await fetch(`${worker.url}/v3/resource_matches/cache`, { headers });
    const { published, snapshot } = (await response.json()) as CacheStatus;
    expect(published ?? snapshot).not.toBeNull();
  };
  await vi.waitFor(isPublished, { timeout: 11_000, interval: 200 });
}
