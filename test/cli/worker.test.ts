import { beforeAll, expect, test, vi } from "vitest";
import { keyOf, sha1Of, writeApp } from "./app.ts";
import { makeNames, writeBlobs } from "./blobs.ts";
import { resourcePool, temporaryDirectory } from "./command.ts";
import { runningWorker } from "./worker.ts";

/** So that what lies outside the limits is easily made; the local KV's keys are of no use here. */
const VARIABLES = { MINIMUM_SIZE: "1", MAXIMUM_SIZE: "1000", KEYS_PER_DAY: "0" };

let worker: Awaited<ReturnType<typeof runningWorker>>;
beforeAll(async () => {
  worker = await runningWorker(VARIABLES);
}, 90_000);

const run = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  resourcePool([...args, ...worker.to], { env: worker.env, ...options });

const asLine = (key: string) => key.replace(":", " ");
const listed = async (...args: string[]) => {
  const { stdout } = await run(["list", ...args]);
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
  const check = async () => JSON.parse((await run(["check", "app", "--json"], { cwd })).stdout).summary;
  expect(await check()).toMatchObject({ asked: { files: 3 }, held: { files: 2 }, toUpload: { files: 1 } });

  const removed = await run(["remove", sha1Of("first").toUpperCase(), sha1Of("nowhere")]);
  expect(removed).toMatchObject({ code: 0, stdout: "1 resource removed, 1 not held, 0 left out\n" });
  expect(await listed("--json")).toEqual([
    JSON.stringify({ checksum: { value: sha1Of("second") }, size_in_bytes: 6 }),
  ]);
});

test("a blobstore of 20,000 blobs is synced, listed page by page, imported again, and in part removed", async () => {
  const directory = await temporaryDirectory();
  const blobs = makeNames(20_000);
  writeBlobs(directory, blobs);
  const sync = await run(["sync", "--blobstore", directory, "--json"]);
  expect(sync.code).toBe(0);
  expect(JSON.parse(sync.stdout)).toMatchObject({ added: 20_000, alreadyThere: 0, skipped: 0, leftOut: 0 });

  const lines = blobs.map(({ key }) => asLine(key)).sort();
  expect(await listed("--prefix", "00")).toEqual(lines);
  const some = lines.filter((line) => line.startsWith("0042"));
  const imported = await run(["import", "-"], { input: [...some, `${"0".repeat(40)} 7`].join("\n") });
  expect(imported.stdout).toBe("1 resource added, 200 already there, 0 left out\n");

  const gone = await run(["remove", "--from", "-"], { input: some.join("\n") });
  expect(gone.stdout).toBe("200 resources removed, 0 not held, 0 left out\n");
  expect(await listed("--prefix", "0042")).toEqual([]);
});

test("status tells how the cache is, also to who may only read", async () => {
  const { stdout } = await run(["status"]);
  expect(stdout).toMatch(/^version +\d+\.\d+\.\d+\nholds +19,802 resources\n/);
  expect(stdout).toMatch(/^removals remembered +202$/m);
  expect(stdout).toMatch(/^MAXIMUM_SIZE +1000$/m);

  const env = { CF_TOKEN: await worker.tokenWith("admin_read_only") };
  const reader = (...args: string[]) => resourcePool([...args, ...worker.to], { env });
  expect(JSON.parse((await reader("status", "--json")).stdout)).toMatchObject({ entries: 19_802 });
  const refused = await reader("remove", sha1Of("second"));
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toContain("answered 403: You are not authorized to perform the requested action");
});

test("everything is published anew, and forgotten only where that is confirmed", async () => {
  const published = await run(["publish"]);
  expect(published).toMatchObject({ code: 0, stdout: "19,802 resources are being published anew\n" });

  const asked = await run(["forget"]);
  expect(asked).toMatchObject({ code: 2, stdout: "" });
  expect(asked.stderr).toContain(`This would forget 19,802 resources of ${worker.url}; with --yes it does.`);
  const forgotten = await run(["forget", "--yes"]);
  expect(forgotten).toMatchObject({ code: 0, stdout: `19,802 resources of ${worker.url} forgotten\n` });
  expect(await listed()).toEqual([]);
});

/** The catalog publishes a second after it was told, and packs its first snapshot right after that. */
async function untilPublished(): Promise<void> {
  const isPublished = async () => {
    const { published, snapshot } = JSON.parse((await run(["status", "--json"])).stdout);
    expect(published ?? snapshot).not.toBeNull();
  };
  await vi.waitFor(isPublished, { timeout: 20_000, interval: 200 });
}
