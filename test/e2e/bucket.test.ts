import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openStage, type Stage } from "./stage.ts";

const CHANGED_MAX_MS = 20_000;

let stage: Stage;

beforeAll(async () => {
  stage = await openStage({ title: "with the pool's bucket", queue: true });
});
afterAll(() => stage.close());

const CONTENT = "what somebody has pushed";
const sha1 = createHash("sha1").update(CONTENT).digest("hex");
/** As the Cloud Controller names its blobs. */
const BLOB = `cc-resources/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;

/** Whether the Worker claims the file. */
async function isHeld(): Promise<boolean> {
  const resource = { checksum: { value: sha1 }, size_in_bytes: CONTENT.length, path: "file", mode: "644" };
  const response = await fetch(`${stage.worker.url}/v3/resource_matches`, {
    method: "POST",
    headers: { Authorization: `bearer ${stage.token}` },
    body: JSON.stringify({ resources: [resource] }),
  });
  expect(response.status).toBe(201);
  const { resources } = (await response.json()) as { resources: unknown[] };
  return resources.length === 1;
}

const untilHeld = (held: boolean) =>
  vi.waitFor(async () => expect(await isHeld()).toBe(held), { timeout: CHANGED_MAX_MS, interval: 50 });

it("a blob is held once it lies in the bucket and its event has come, and no longer when it is gone", async () => {
  expect(await isHeld()).toBe(false);
  await stage.command("PUT", `bucket/${BLOB}`, CONTENT);
  await untilHeld(true);
  await stage.command("DELETE", `bucket/${BLOB}`);
  await untilHeld(false);
});

it("an event that is late says nothing against the bucket: the blob is there again", async () => {
  await stage.command("PUT", `bucket/${BLOB}`, CONTENT);
  await untilHeld(true);
  await stage.command("DELETE", `event/${BLOB}`);
  // Events of one batch, or of batches one after the other: when this one has come, so has that.
  await stage.command("PUT", "bucket/cc-resources/aa/bb/aabb000000000000000000000000000000000000", "other");
  await stage.untilKeys(2);
  expect(await isHeld()).toBe(true);
});

it("what is no blob of the pool is nothing to the cache", async () => {
  await stage.command("PUT", "bucket/cc-droplets/aa/bb/droplet", "a droplet");
  await stage.command("DELETE", `bucket/${BLOB}`);
  await stage.untilKeys(1);
});
