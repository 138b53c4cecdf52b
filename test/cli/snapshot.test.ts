import { expect, test } from "vitest";
import { openPart } from "../../src/resource-pool/snapshot/format.ts";
import { Snapshot } from "../../src/resource-pool/snapshot/snapshot.ts";
import { makeBlobs, writeBlobs } from "./blobs.ts";
import { cloudflareApi, NAMESPACE, type StoredKey } from "./cloudflare-api.ts";
import { resourcePool, temporaryDirectory, temporaryProject } from "./command.ts";
import { withLocalCache } from "./local-cache.ts";

const NAMESPACE_ID = `id = "${NAMESPACE}"`;

/** What an isolate would load of what the API has been given. */
function snapshotIn(keys: ReadonlyMap<string, StoredKey>, prefix = ""): Snapshot {
  const { id, parts } = JSON.parse(keys.get(`${prefix}snapshot/current`)?.value ?? "null");
  const opened = Array.from({ length: parts }, (_, number) => {
    const bytes = Buffer.from(keys.get(`${prefix}snapshot/part/${id}/${number}`)?.value ?? "", "base64");
    return openPart(new Uint8Array(bytes).buffer, id, number);
  });
  return new Snapshot(id, opened);
}

test.concurrent("a whole pool comes into the deployed snapshot with a handful of writes, and none of its files is missing", async () => {
  const { config } = await temporaryProject({ KEY_PREFIX: "cf/" }, NAMESPACE_ID);
  const { env, keys, calls } = await cloudflareApi();
  const blobs = makeBlobs(3_000);
  const blobstore = await temporaryDirectory();
  writeBlobs(blobstore, blobs);

  const outcome = await resourcePool(
    ["sync", "--blobstore", blobstore, "--snapshot", "--remote", "--config", config],
    { env },
  );
  expect(outcome).toMatchObject({
    code: 0,
    stdout: "3,000 resources added to the snapshot, which holds 3,000\n",
  });
  expect(calls.filter(({ operation }) => operation === "put").length).toBeLessThanOrEqual(4);
  expect(keys.size).toBeLessThanOrEqual(4);
  const snapshot = snapshotIn(keys, "cf/");
  for (const { sha1, content } of blobs) expect(snapshot.has(sha1, content.length)).toBe(true);
});

test.concurrent("what a key tells since, a removal, and a file that comes back, come with the next snapshot", async () => {
  const { config } = await temporaryProject({}, NAMESPACE_ID);
  const { env, keys } = await cloudflareApi();
  const [one, two, three] = makeBlobs(3).map(({ key }) => key) as [string, string, string];
  const line = (key: string) => key.replace(":", " ");
  const run = (...args: string[]) => resourcePool([...args, "--remote", "--config", config], { env });
  const importing = (input: string, ...args: string[]) =>
    resourcePool(["import", "-", "--remote", "--config", config, ...args], { input, env });

  expect(await importing(`${line(one)}\n${line(two)}\nrubbish\n`, "--snapshot")).toMatchObject({
    code: 3,
    stdout: "2 resources added to the snapshot, which holds 2\n",
  });
  expect(await importing(line(three))).toMatchObject({ code: 0 });
  expect(await run("snapshot")).toMatchObject({ code: 0, stdout: "built: the snapshot holds 3 resources\n" });
  expect(await run("snapshot")).toMatchObject({ stdout: "unchanged: the snapshot holds 3 resources\n" });

  expect(await run("remove", one.slice(0, 40))).toMatchObject({ code: 0 });
  expect(await run("snapshot", "--json").then(({ stdout }) => JSON.parse(stdout))).toMatchObject({
    entries: 2,
  });
  const stats = JSON.parse((await run("stats", "--json")).stdout);
  expect(stats).toMatchObject({ resources: 1, tombstones: 1, snapshot: { resources: 2 } });

  // A file that has come back is there at once, though its tombstone stands for days.
  await importing(line(one), "--snapshot");
  expect(keys.get(one)?.value).toBe("1");
  expect((await run("snapshot")).stdout).toContain("holds 3 resources");
});

test.concurrent("a list goes into the local snapshot; a dry run before it writes nothing", async () => {
  const { config, directory } = await temporaryProject();
  const input = makeBlobs(5)
    .map(({ key }) => key.replace(":", " "))
    .join("\n");
  const args = ["import", "-", "--snapshot", "--config", config];
  expect(await resourcePool([...args, "--dry-run"], { input })).toMatchObject({
    code: 0,
    stdout: "5 resources would be added to the snapshot\n",
  });
  await withLocalCache(directory, async (cache) => expect((await cache.list()).keys).toEqual([]));
  expect(await resourcePool(args, { input })).toMatchObject({
    code: 0,
    stdout: "5 resources added to the snapshot, which holds 5\n",
  });
  await withLocalCache(directory, async (cache) => {
    const { entries } = JSON.parse((await cache.get("snapshot/current")) ?? "{}");
    expect(entries).toBe(5);
  });
});

test.concurrent("a snapshot that a newer version has written is left alone", async () => {
  const { config } = await temporaryProject({}, NAMESPACE_ID);
  const { env, keys } = await cloudflareApi();
  keys.set("snapshot/current", { key: "snapshot/current", value: '{"format":2}' });
  const outcome = await resourcePool(["snapshot", "--remote", "--config", config], { env });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toContain("snapshot/current is not understood");
  expect(keys.get("snapshot/current")?.value).toBe('{"format":2}');
});
