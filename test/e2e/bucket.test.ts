import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";

const HANDLED_MAX_MS = 20_000;

let harness: Harness;
let sent = 0;

beforeAll(async () => {
  harness = await startHarness({ title: "", bucket: true });
}, START_TIMEOUT_MS);
afterAll(() => harness.stop());

/** A file that somebody has pushed, and the name that the Cloud Controller gives its blob. */
function blobOf(content: string) {
  const sha1 = createHash("sha1").update(content).digest("hex");
  const name = `cc-resources/app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
  return { content, sha1, name };
}

const put = (name: string, content: string) => harness.command("PUT", `blob/${name}`, content);
const remove = (name: string) => harness.command("DELETE", `blob/${name}`);

/** Tells of a change as R2 does, which the local one does not. */
async function announce(action: "PutObject" | "DeleteObject", name: string): Promise<void> {
  sent += 1;
  const event = { account: "account", bucket: "resource-pool", eventTime: new Date().toISOString() };
  await harness.command("POST", "event", { ...event, action, object: { key: name } });
}

/** Waits until the consumer has had every event. */
async function untilHandled(): Promise<void> {
  const timeout = { timeout: HANDLED_MAX_MS, interval: 20 };
  await vi.waitFor(async () => expect((await harness.readCounts()).handledEvents).toBe(sent), timeout);
}

/** Contents that the Worker matches, each time for another user: none of the requests is a retry. */
async function heldOf(contents: readonly string[]): Promise<string[]> {
  const id = randomUUID();
  const token = await harness.foundation.uaa.issueToken({ user: { id, name: id } });
  const resources = contents.map((content) => {
    const checksum = { value: blobOf(content).sha1 };
    return { checksum, size_in_bytes: content.length, path: content, mode: "644" };
  });
  const response = await fetch(`${harness.worker.url}/v3/resource_matches`, {
    method: "POST",
    headers: { Authorization: `bearer ${token}` },
    body: JSON.stringify({ resources }),
  });
  expect(response.status).toBe(201);
  return ((await response.json()) as { resources: { path: string }[] }).resources.map(({ path }) => path);
}

it("a blob is held once it lies in the bucket and its event has come, and no longer when it is gone", async () => {
  const { content, name } = blobOf("what somebody has pushed");
  expect(await heldOf([content])).toEqual([]);
  await put(name, content);
  await announce("PutObject", name);
  await harness.waitForEntries(1);
  expect(await heldOf([content])).toEqual([content]);
  await remove(name);
  await announce("DeleteObject", name);
  await harness.waitForEntries(0);
  expect(await heldOf([content])).toEqual([]);
});

/** What is done to a blob, and what is told of it, in one order. */
type Step = "put" | "delete" | "tell put" | "tell delete";

/** All orders in which the events of `deeds` can come, each at some time after its deed. */
function orders(deeds: readonly ("put" | "delete")[], untold: readonly Step[] = []): Step[][] {
  const [deed, ...others] = deeds;
  if (!deed && untold.length === 0) return [[]];
  const next = deed ? orders(others, [...untold, `tell ${deed}`]).map((rest): Step[] => [deed, ...rest]) : [];
  const told = untold.flatMap((step, index) =>
    orders(deeds, untold.toSpliced(index, 1)).map((rest): Step[] => [step, ...rest]),
  );
  return [...next, ...told];
}

it("in whatever order events come, doubled and late, a blob ends as it lies", async () => {
  const once = [...orders(["put", "delete"]), ...orders(["put", "delete", "put"])];
  expect(once).toHaveLength(3 + 15);
  const late = once.map((steps) => [
    ...steps,
    ...steps.filter((step) => step.startsWith("tell")).toReversed(),
  ]);
  const all = [...once, ...late].map((steps, index) => ({ steps, blob: blobOf(`${index}: ${steps}`) }));

  // All blobs go one step on, and the events are handled before the next step.
  const longest = Math.max(...all.map(({ steps }) => steps.length));
  for (let at = 0; at < longest; at++) {
    const steps = all.map(({ steps, blob: { name, content } }) => {
      if (steps[at] === "put") return put(name, content);
      if (steps[at] === "delete") return remove(name);
      if (steps[at] === "tell put") return announce("PutObject", name);
      return steps[at] === "tell delete" ? announce("DeleteObject", name) : undefined;
    });
    await Promise.all(steps);
    await untilHandled();
  }

  const lying = all.filter(({ steps }) => steps.filter((step) => step === "put").length === 2);
  await harness.waitForEntries(lying.length);
  expect(await heldOf(all.map(({ blob }) => blob.content))).toEqual(lying.map(({ blob }) => blob.content));
});

it("what is no blob of the pool is nothing to the cache", async () => {
  const { entries } = await harness.catalogStatus();
  const { sha1, content } = blobOf("in a place where the Cloud Controller does not look");
  for (const name of [`cc-resources/aa/bb/${sha1}`, "cc-droplets/aa/bb/droplet"]) {
    await put(name, content);
    await announce("PutObject", name);
  }
  await untilHandled();
  expect(await harness.catalogStatus()).toMatchObject({ entries });
});
