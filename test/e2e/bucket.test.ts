import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";

const HANDLE_TIMEOUT_MS = 20_000;

let harness: Harness;
let sent = 0;

beforeAll(async () => {
  harness = await startHarness({ title: "", bucket: true });
}, START_TIMEOUT_MS);
afterAll(() => harness.stop());

/** A file, and the name of its blob in the Cloud Controller's bucket. */
function createBlob(content: string) {
  const sha1 = createHash("sha1").update(content).digest("hex");
  const name = `cc-resources/app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
  return { content, sha1, name };
}

const putBlob = (name: string, content: string) => harness.command("PUT", `blob/${name}`, content);
const deleteBlob = (name: string) => harness.command("DELETE", `blob/${name}`);

/** Sends the event of a change. The local R2 sends none. */
async function sendEvent(action: "PutObject" | "DeleteObject", name: string): Promise<void> {
  sent += 1;
  const event = { account: "account", bucket: "resource-pool", eventTime: new Date().toISOString() };
  await harness.command("POST", "event", { ...event, action, object: { key: name } });
}

/** Waits until the consumer has handled every event. */
async function waitForEvents(): Promise<void> {
  const timeout = { timeout: HANDLE_TIMEOUT_MS, interval: 20 };
  await vi.waitFor(async () => expect((await harness.readCounts()).handledEvents).toBe(sent), timeout);
}

/** Returns the contents that the Worker matches. Each request is of a new user, so that none is a suspected retry. */
async function matchContents(contents: readonly string[]): Promise<string[]> {
  const id = randomUUID();
  const token = await harness.foundation.uaa.issueToken({ user: { id, name: id } });
  const resources = contents.map((content) => {
    const checksum = { value: createBlob(content).sha1 };
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

it("matches a blob after the event of its creation, and no longer after the event of its deletion (R1.1)", async () => {
  const { content, name } = createBlob("a pushed file");
  expect(await matchContents([content])).toEqual([]);
  await putBlob(name, content);
  await sendEvent("PutObject", name);
  await harness.waitForEntries(1);
  expect(await matchContents([content])).toEqual([content]);
  await deleteBlob(name);
  await sendEvent("DeleteObject", name);
  await harness.waitForEntries(0);
  expect(await matchContents([content])).toEqual([]);
});

/** A change of a blob, or the arrival of its event. */
type Step = "put" | "delete" | "put event" | "delete event";

/** All orders in which the events of `changes` can arrive, each at some time after its change. */
function orders(changes: readonly ("put" | "delete")[], pending: readonly Step[] = []): Step[][] {
  const [change, ...others] = changes;
  if (!change && pending.length === 0) return [[]];
  const afterChange = change
    ? orders(others, [...pending, `${change} event`]).map((rest): Step[] => [change, ...rest])
    : [];
  const afterEvent = pending.flatMap((event, index) =>
    orders(changes, pending.toSpliced(index, 1)).map((rest): Step[] => [event, ...rest]),
  );
  return [...afterChange, ...afterEvent];
}

it("matches what the bucket has, even if its events arrive twice and in another order (R1.3)", async () => {
  const once = [...orders(["put", "delete"]), ...orders(["put", "delete", "put"])];
  expect(once).toHaveLength(3 + 15);
  const twice = once.map((steps) => [
    ...steps,
    ...steps.filter((step) => step.endsWith("event")).toReversed(),
  ]);
  const all = [...once, ...twice].map((steps, index) => ({ steps, blob: createBlob(`${index}: ${steps}`) }));

  // Runs one step of all blobs, and waits until its events are handled.
  const longest = Math.max(...all.map(({ steps }) => steps.length));
  for (let at = 0; at < longest; at++) {
    const steps = all.map(({ steps, blob: { name, content } }) => {
      if (steps[at] === "put") return putBlob(name, content);
      if (steps[at] === "delete") return deleteBlob(name);
      if (steps[at] === "put event") return sendEvent("PutObject", name);
      return steps[at] === "delete event" ? sendEvent("DeleteObject", name) : undefined;
    });
    await Promise.all(steps);
    await waitForEvents();
  }

  const remaining = all.filter(({ steps }) => steps.filter((step) => step === "put").length === 2);
  await harness.waitForEntries(remaining.length);
  expect(await matchContents(all.map(({ blob }) => blob.content))).toEqual(
    remaining.map(({ blob }) => blob.content),
  );
});

it("ignores events of blobs outside the resource pool", async () => {
  const { entries } = await harness.catalogStatus();
  const { sha1, content } = createBlob("outside the pool");
  for (const name of [`cc-resources/aa/bb/${sha1}`, "cc-droplets/aa/bb/droplet"]) {
    await putBlob(name, content);
    await sendEvent("PutObject", name);
  }
  await waitForEvents();
  expect(await harness.catalogStatus()).toMatchObject({ entries });
});
