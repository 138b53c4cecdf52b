import { rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test, vi } from "vitest";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { keyOf, sha1Of, writeApp } from "./app.ts";
import { type Blob, makeBlobs, makeNames, writeBlobs } from "./blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "./command.ts";
import { endpointThatHolds, serve } from "./endpoint.ts";
import { S3_CREDENTIALS, s3Listing } from "./s3-server.ts";
import { runningWorker } from "./worker.ts";

/** So that what lies outside the limits is easily made; the local KV's keys are of no use here. */
const VARIABLES = { MINIMUM_SIZE: "1", MAXIMUM_SIZE: "1000", KEYS_PER_DAY: "0" };

let worker: Awaited<ReturnType<typeof runningWorker>>;
beforeAll(async () => {
  worker = await runningWorker(VARIABLES);
}, 90_000);

const run = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  resourcePool([...args, ...worker.to], { env: worker.env, ...options });
/** For what tells nothing. */
const ask = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  resourcePoolInThread([...args, ...worker.to], { env: worker.env, ...options });

const asLine = (key: string) => key.replace(":", " ");
const listed = async (...args: string[]) => {
  const { stdout } = await ask(["list", ...args]);
  return stdout.split("\n").filter((line) => line !== "");
};

/** One after the other: they share the cache. */
test("files are added, listed, checked and removed again", async () => {
  const cwd = await temporaryDirectory();
  await writeApp(cwd, { "app/a": "first", "app/b": "second", "app/large": "x".repeat(1001) });

  const added = await run(["add", "app"], { cwd });
  expect(added).toMatchObject({ code: 0, stdout: "2 resources added, 0 already there, 0 left out\n" });
  expect(added.stderr).toMatch(/^1 resource not added: outside the Worker's MINIMUM_SIZE and MAXIMUM_SIZE/);
  expect((await run(["add", "app"], { cwd })).stdout).toMatch(/^0 resources added, 2 already there/);
  expect(await listed()).toEqual(["first", "second"].map(keyOf).map(asLine).sort());

  await untilPublished();
  const check = async () => JSON.parse((await ask(["check", "app", "--json"], { cwd })).stdout).summary;
  expect(await check()).toMatchObject({ asked: { files: 3 }, matched: { files: 2 }, toUpload: { files: 1 } });

  const removed = await run(["remove", sha1Of("first").toUpperCase(), sha1Of("nowhere")]);
  expect(removed).toMatchObject({ code: 0, stdout: "1 resource removed, 1 not present, 0 left out\n" });
  expect(await listed("--json")).toEqual([
    JSON.stringify({ checksum: { value: sha1Of("second") }, size_in_bytes: 6 }),
  ]);
});

let blobstore: string;
const blobs = makeNames(11_000);

test("a blobstore of 11,000 blobs is synced, listed page by page, and imported again", async () => {
  blobstore = await temporaryDirectory();
  writeBlobs(blobstore, blobs);
  const sync = await run(["sync", "--blobstore", blobstore, "--json"]);
  expect(sync.code).toBe(0);
  expect(JSON.parse(sync.stdout)).toMatchObject({ added: 11_000, alreadyThere: 0, skipped: 0, leftOut: 0 });

  const lines = blobs.map(({ key }) => asLine(key)).sort();
  expect(await listed("--prefix", "00")).toEqual(lines);
  const some = lines.filter((line) => line.startsWith("0042"));
  const imported = await run(["import", "-"], { input: [...some, `${"0".repeat(40)} 7`].join("\n") });
  expect(imported.stdout).toBe("1 resource added, 110 already there, 0 skipped, 0 left out\n");
});

test("a pool that seems to have lost more than a tenth, or all, is not pruned, and nothing is told", async () => {
  const [empty, wrong] = [await temporaryDirectory(), await temporaryDirectory()];
  writeBlobs(wrong, makeBlobs(3));
  const prune = (place: string, ...args: string[]) => ask(["sync", "--prune", "--blobstore", place, ...args]);

  expect(await prune(empty)).toMatchObject({
    code: 3,
    stdout: "",
    stderr: expect.stringMatching(/^Nothing below .* looks like a resource pool/),
  });
  expect(await prune(wrong, "--dry-run")).toMatchObject({
    code: 0,
    stdout: "3 resources found, 11,002 to be removed\n",
    stderr: "That is more than a tenth of the cache: without --yes it would be refused.\n",
  });
  expect(await prune(wrong)).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      /^Refused: 11,002 of the 11,002 resources in the cache are not in the blobstore, more than a tenth\./,
    ),
  });
  expect(JSON.parse((await ask(["status", "--json"])).stdout)).toMatchObject({ entries: 11_002 });
});

test("500 blobs that have left a blobstore of 11,000 are pruned, and what is observed since stays", async () => {
  const gone = blobs.slice(0, 500);
  for (const { name } of gone) rmSync(join(blobstore, name));
  // The last page of a listing comes when another has told that one of them is back.
  const [returned] = gone as [Blob];
  const listing = await serve(async (_, response) => {
    await run(["import", "-"], { input: asLine(returned.key) });
    response.writeHead(200, { "Content-Type": "application/xml" });
    response.end(s3Listing(blobs.slice(500), false));
  });
  const bucket = ["--blobstore", "s3://pool", "--endpoint", listing];
  const byBucket = await resourcePool(["sync", "--prune", "--json", ...bucket, ...worker.to], {
    env: { ...worker.env, ...S3_CREDENTIALS },
  });
  expect(byBucket).toMatchObject({ code: 0 });
  // Beside the 499, what the tests before have added.
  expect(JSON.parse(byBucket.stdout)).toMatchObject({
    ...{ added: 0, alreadyThere: 10_500, removed: 501, kept: 1 },
    ...{ skipped: 0, leftOut: 0, interrupted: false },
  });
  expect(await listed("--prefix", returned.sha1)).toEqual([asLine(returned.key)]);

  const byDirectory = await run(["sync", "--prune", "--blobstore", blobstore]);
  expect(byDirectory).toMatchObject({
    code: 0,
    stdout: "0 resources added, 10,500 already there, 1 removed, 0 kept as observed since, 0 skipped\n",
  });
});

test("what the Cloud Controller denies is told, and removed where that is wanted", async () => {
  const denied = new Set(blobs.slice(601, 611).map(({ sha1 }) => sha1));
  let isMatching = true;
  const cloudController = await endpointThatHolds(
    ({ checksum }) => isMatching && !denied.has(checksum.value),
  );
  const verify = (...args: string[]) => ask(["verify", "--cloud-controller", cloudController.url, ...args]);

  // Files of 1 byte, the Worker's MINIMUM_SIZE: the Cloud Controller has larger ones only.
  const passedOver = blobs.slice(500).filter(({ content }) => content.length === 1).length;
  const all = await verify();
  expect(all).toMatchObject({
    code: 3,
    stdout: `${(10_490 - passedOver).toLocaleString("en")} resources matched, 10 denied, 0 removed, ${passedOver} passed over\n`,
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
  expect(off.stderr).toMatch(/^Nothing removed\. The Cloud Controller matches nothing at all/);
  isMatching = true;
  const removed = await verify("--remove", "--json");
  expect(removed.code).toBe(0);
  expect(JSON.parse(removed.stdout)).toMatchObject({ denied: 10, removed: 10, interrupted: false });
  expect(JSON.parse((await ask(["status", "--json"])).stdout)).toMatchObject({ entries: 10_490 });

  const itself = await ask(["verify", "--cloud-controller", `${worker.url}/`]);
  expect(itself).toMatchObject({ code: 2, stdout: "" });
  expect(itself.stderr).toContain("leads to the Worker itself");
});

test("status tells how the cache is, also to who may only read", async () => {
  const { stdout } = await ask(["status"]);
  expect(stdout).toMatch(/^version +\d+\.\d+\.\d+\nholds +10,490 resources\n/);
  expect(stdout).toMatch(/^removals remembered +514$/m);
  expect(stdout).toMatch(/^MAXIMUM_SIZE +1000$/m);

  const env = { CF_TOKEN: await worker.tokenWith("admin_read_only") };
  const reader = (...args: string[]) => resourcePoolInThread([...args, ...worker.to], { env });
  expect(JSON.parse((await reader("status", "--json")).stdout)).toMatchObject({ entries: 10_490 });
  const refused = await reader("remove", sha1Of("second"));
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toContain("answered 403: You are not authorized to perform the requested action");
});

test("everything is published anew, and forgotten only where that is confirmed", async () => {
  const published = await ask(["publish"]);
  expect(published).toMatchObject({ code: 0, stdout: "10,490 resources are being published anew\n" });

  const asked = await ask(["forget"]);
  expect(asked).toMatchObject({ code: 2, stdout: "" });
  expect(asked.stderr).toContain(`This would forget 10,490 resources of ${worker.url}; with --yes it does.`);
  const forgotten = await run(["forget", "--yes"]);
  expect(forgotten).toMatchObject({ code: 0, stdout: `10,490 resources of ${worker.url} forgotten\n` });
  expect(await listed()).toEqual([]);
});

/** The catalog publishes a second after it was told, and packs its first snapshot right after that. */
async function untilPublished(): Promise<void> {
  const isPublished = async () => {
    const headers = { Authorization: `bearer ${worker.env.CF_TOKEN}` };
    const response = await fetch(`${worker.url}/v3/resource_matches/cache`, { headers });
    const { published, snapshot } = (await response.json()) as CacheStatus;
    expect(published ?? snapshot).not.toBeNull();
  };
  await vi.waitFor(isPublished, { timeout: 11_000, interval: 200 });
}
