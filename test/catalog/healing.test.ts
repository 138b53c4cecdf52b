import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { INLINE_DELTA } from "../../src/catalog/manifest-writer.ts";
import { catalog, readManifest, report, runAlarm, withVariables } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import {
  keyOf,
  matchedPaths,
  resource,
  type SentResource,
  sendWith,
  sendWithEnv,
} from "../support/worker.ts";

const CACHE_URL = "https://api.example.com/v3/resource_matches/cache";
const resources = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const firstKeys = (count: number) => Array.from({ length: count }, (_, index) => keyOf(index));
const countPresent = async () => (await catalog().page()).resources.length;
const points: { indexes: string[]; blobs: string[]; doubles: number[] }[] = [];
const METRICS = { writeDataPoint: (point: (typeof points)[number]) => points.push(point) };

/** Longer than a verification before the response waits for the Cloud Controller. */
const HANGING_MS = 1_000;
const CONNECTION_LOST = new Error("connection lost");

/**
 * The Cloud Controller: which files it matches, after how many requests it hangs, and how long a request
 * freezes the isolate.
 */
const cloudController = { hasFile: (_: SentResource) => true as boolean, hangsAfter: Infinity, freezesMs: 0 };

/** Sends a request from a new isolate. Returns the number of matches. */
async function push(resources: SentResource[], user = crypto.randomUUID()): Promise<number> {
  const token = await signToken({ user_id: user });
  const bindings = { CLOUD_CONTROLLER_URL, METRICS };
  return (await matchedPaths(await sendWith(bindings, { resources }, { token }))).length;
}

async function publish(): Promise<void> {
  advanceClock(20_000);
  await runAlarm();
}

const inlineDelta = { ...INLINE_DELTA };
let logs: Record<string, unknown>[];
let requests: Request[];
const loggedEvents = () => logs.map(({ event }) => event);
const requestSizes = () =>
  Promise.all(requests.map(async (each) => (await each.clone().json<{ resources: [] }>()).resources.length));

beforeEach(async () => {
  logs = collectLogs();
  points.length = 0;
  Object.assign(cloudController, { hasFile: () => true, hangsAfter: Infinity, freezesMs: 0 });
  requests = fakeCloudController((request) => {
    if (cloudController.freezesMs > 0) advanceClock(cloudController.freezesMs);
    if (cloudController.freezesMs > 0) return Promise.reject(CONNECTION_LOST);
    if (requests.length > cloudController.hangsAfter)
      return scheduler.wait(HANGING_MS).then(() => Promise.reject(CONNECTION_LOST));
    return respondWithMatches((each) => cloudController.hasFile(each))(request);
  });
  await report({ present: firstKeys(40), asOf: Date.now() - 1_000 });
  await publish();
});
afterEach(async () => {
  Object.assign(INLINE_DELTA, inlineDelta);
  vi.restoreAllMocks();
  await reset();
});

describe("verification after the response", () => {
  it("verifies five matches, and reports nothing if the Cloud Controller matches them (R1.6)", async () => {
    expect(await push(resources(40))).toBe(40);
    expect(await requestSizes()).toEqual([5]);
    expect(loggedEvents()).not.toContain("matches-rejected");
  });

  it("verifies all matches once one is rejected, and removes the rejected ones from the catalog (R1.6)", async () => {
    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 4;
    // In most pushes the sample of five has one of the four.
    for (let attempt = 0; attempt < 30 && (await countPresent()) === 40; attempt++) await push(resources(40));
    expect(await countPresent()).toBe(36);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "matches-rejected", verified: 40, rejected: 4 }),
    );
    expect(points).toContainEqual({
      indexes: ["matches-rejected"],
      blobs: ["uaa.example.com"],
      doubles: [40, 4],
    });
    expect(loggedEvents()).not.toContain("cache-suspended");
    await publish();
    expect(await push(resources(40))).toBe(36);
  });

  it("rejects nothing if the Cloud Controller hangs (R1.6)", async () => {
    cloudController.hangsAfter = 0;
    const token = await signToken();
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "200" };
    await sendWith(bindings, { resources: resources(40) }, { token });
    expect(loggedEvents()).not.toContain("matches-rejected");
    expect(await countPresent()).toBe(40);
  });
});

describe("a suspected retry", () => {
  it("does not match what the Cloud Controller rejects before the response to a suspected retry (R1.7)", async () => {
    expect(await push(resources(40), "a")).toBe(40);
    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 4;
    expect(await push(resources(40), "a")).toBe(36);
    expect(await countPresent()).toBe(36);
  });

  it("verifies a suspected retry with at most 20 requests of 40 before the response, and 20 of 250 after it (R1.7)", async () => {
    const many = resources(4_999);
    await report({ present: firstKeys(4_999) });
    await publish();
    expect(await push(many, "a")).toBe(4_999);
    requests.length = 0;
    expect(await push(many, "a")).toBe(4_999);
    const sizes = await requestSizes();
    expect(sizes.slice(0, 20)).toEqual(Array(20).fill(40));
    expect(sizes.slice(20)).toEqual([...Array(16).fill(250), 4_999 - 800 - 4_000]);
    expect(logs.findLast(({ event }) => event === "matched")).toMatchObject({ verified: 800, rejected: 0 });
  });

  it("verifies a suspected retry with larger requests if LOOKUP_DEADLINE_MS is longer (R1.7)", async () => {
    const many = resources(2_000);
    await report({ present: firstKeys(2_000) });
    await publish();
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "60000" };
    const token = await signToken({ user_id: "a" });
    for (let round = 0; round < 2; round++) await sendWith(bindings, { resources: many }, { token });
    expect(logs.findLast(({ event }) => event === "matched")).toMatchObject({ verified: 2_000 });
  });

  it("reports the rejections of a suspected retry from before the Cloud Controller hangs (R1.6)", async () => {
    const many = resources(500);
    await report({ present: firstKeys(500) });
    await publish();
    expect(await push(many, "a")).toBe(500);
    cloudController.hangsAfter = requests.length + 3;
    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes % 10 !== 0;
    const token = await signToken({ user_id: "a" });
    await sendWith({ CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "2000" }, { resources: many }, { token });
    const reports = logs.filter(({ event }) => event === "matches-rejected");
    expect(reports.length).toBeGreaterThanOrEqual(2);
    const rejected = reports.reduce((sum, report) => sum + (report.rejected as number), 0);
    expect(await countPresent()).toBe(500 - rejected);
  });

  it("matches only what the Cloud Controller has confirmed, once it has rejected a match of a suspected retry (R1.7)", async () => {
    const many = resources(500);
    await report({ present: firstKeys(500) });
    await publish();
    expect(await push(many, "a")).toBe(500);
    // Four requests of 40 random matches get a response within a quarter of the deadline.
    cloudController.hangsAfter = requests.length + 4;
    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes % 2 === 1;
    const token = await signToken({ user_id: "a" });
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "3000" };
    const matched = await matchedPaths(await sendWith(bindings, { resources: many }, { token }));
    expect(matched.length).toBeGreaterThan(0);
    expect(matched.length).toBeLessThan(160);
    expect(matched.filter((path) => Number(path?.match(/\d+/)?.[0]) % 2 === 1)).toEqual([]);
  });

  it("matches in a suspected retry the same as before if the Cloud Controller hangs (R2.1)", async () => {
    expect(await push(resources(40), "a")).toBe(40);
    cloudController.hangsAfter = 0;
    const token = await signToken({ user_id: "a" });
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "2000" };
    expect(
      await matchedPaths(await sendWith(bindings, { resources: resources(40) }, { token })),
    ).toHaveLength(40);
  });

  it("matches nothing in a suspected retry from a manifest that was read over a minute ago (R1.2)", async () => {
    expect(await push(resources(40), "a")).toBe(40);
    cloudController.freezesMs = 65_000;
    expect(await push(resources(40), "a")).toBe(0);
  });

  it("does not suspect a retry after ten minutes, and verifies nothing before the response", async () => {
    expect(await push(resources(40), "a")).toBe(40);
    advanceClock(10 * 60_000);
    cloudController.hasFile = () => false;
    expect(await push(resources(40), "a")).toBe(40);
  });
});

describe("suspension", () => {
  it("suspends the cache for ten minutes after the pool was wiped, and keeps the catalog (R1.6)", async () => {
    cloudController.hasFile = () => false;
    expect(await push(resources(40))).toBe(40);
    expect(loggedEvents()).toContain("cache-suspended");
    expect(points.map(({ indexes }) => indexes[0])).toContain("matches-rejected");
    expect(await countPresent()).toBe(40);
    await publish();
    expect((await catalog().status()).suspended_until).not.toBe(null);
    expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
    expect(await push(resources(40))).toBe(0);
    // Rejections are ignored until the Cloud Controller has matched a file.
    expect(await countPresent()).toBe(40);

    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 20;
    expect(await push(resources(40))).toBe(20);
    expect(await push(resources(40))).toBe(20);
    expect(await countPresent()).toBe(20);

    advanceClock(10 * 60_000);
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    expect(loggedEvents()).toContain("cache-resumed");
    expect(await readManifest()).toMatchObject({ suspendedUntil: null });
    expect(await push(resources(40))).toBe(20);
  });

  it("keeps the catalog when the Cloud Controller has matching disabled (R1.6)", async () => {
    cloudController.hasFile = () => false;
    for (let round = 0; round < 4; round++) {
      await push(resources(40));
      await publish();
      await push(resources(40));
      advanceClock(10 * 60_000);
      await runAlarm();
    }
    expect(await countPresent()).toBe(40);
    cloudController.hasFile = () => true;
    advanceClock(20_000);
    await runAlarm();
    advanceClock(10 * 60_000);
    await publish();
    expect(await push(resources(40))).toBe(40);
  });

  it("ends with forget, because an empty catalog has no stale matches (R1.6)", async () => {
    cloudController.hasFile = () => false;
    await push(resources(40));
    await publish();
    expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
    await withVariables({ METRICS }, (instance) => instance.forget());
    expect(await catalog().status()).toMatchObject({ entries: 0, suspended_until: null });
    expect(loggedEvents()).toContain("cache-resumed");
    expect(points.map(({ indexes }) => indexes[0])).toContain("cache-resumed");
    await publish();
    expect(await readManifest()).toMatchObject({ suspendedUntil: null });
    expect(await push(resources(40))).toBe(0);

    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 20;
    await report({ present: firstKeys(40).slice(20), asOf: Date.now() });
    await publish();
    requests.length = 0;
    expect(await push(resources(40).slice(20))).toBe(20);
    // Only the sample after the response: the cache has matched all files.
    expect(await requestSizes()).toEqual([5]);
  });

  it("ends when KEY_PREFIX changes, because the catalog is empty then (R1.6)", async () => {
    cloudController.hasFile = () => false;
    await push(resources(40));
    const status = await withVariables({ KEY_PREFIX: "b/" }, (instance) => instance.status());
    expect(status).toMatchObject({ entries: 0, suspended_until: null });
    expect(loggedEvents()).toContain("cache-resumed");
  });

  it("does not begin with rejections of files that the catalog does not have (R1.6)", async () => {
    const sha1s = firstKeys(40).map((key) => key.slice(0, 40));
    await catalog().forget();
    // From isolates that still have the manifest from before.
    await catalog().reportRejections({ asOf: Date.now(), verified: 40, rejected: sha1s });
    // From a request that began during a suspension: no one ever reported these files as present.
    const rejected = Array.from({ length: 40 }, (_, index) => index.toString(16).padStart(40, "f"));
    await catalog().reportRejections({ asOf: Date.now(), verified: 40, rejected });
    expect(await catalog().status()).toMatchObject({ suspended_until: null, removals: 0 });
  });

  it("does not begin with rejections from before the files were added (R1.3, R1.6)", async () => {
    const asOf = Date.now() - 60_000;
    const rejected = firstKeys(40).map((key) => key.slice(0, 40));
    await catalog().reportRejections({ asOf, verified: 40, rejected });
    expect(await catalog().status()).toMatchObject({ suspended_until: null, entries: 40 });
  });

  it("counts the resources that were reported as removed since it began", async () => {
    const sha1s = firstKeys(40).map((key) => key.slice(0, 40));
    const removedSince = async () => (await catalog().status()).removed_since_suspension;
    await report({ removed: sha1s.slice(0, 5) });
    cloudController.hasFile = () => false;
    await push(resources(40).slice(5));
    expect(await catalog().status()).toMatchObject({ suspended_until: expect.any(String) });
    expect(await removedSince()).toBe(0);
    advanceClock(1);
    await report({ removed: sha1s.slice(0, 15), asOf: Date.now() });
    await report({ removed: sha1s.slice(0, 20), asOf: Date.now() });
    expect(await removedSince()).toBe(15);
    // The Cloud Controller's own rejections are no repair by the operator.
    cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 30;
    await push(resources(40).slice(20));
    expect(await countPresent()).toBe(10);
    expect(await removedSince()).toBe(15);
    advanceClock(10 * 60_000);
    expect(await removedSince()).toBe(0);
  });

  it("suspends the cache after several pushes with few rejections each (R1.6)", async () => {
    cloudController.hasFile = () => false;
    for (let app = 0; app < 3; app++) await push(resources(40).slice(4 * app, 4 * app + 4));
    expect(loggedEvents()).toContain("cache-suspended");
  });
});

it("matches a probe like a push, and reports neither matches nor rejections of it", async () => {
  const present = firstKeys(40);
  const probe = async (isolate: object) => {
    const options = {
      token: await signToken({ user_id: "a" }),
      headers: { "X-Resource-Matches-Probe": "1" },
    };
    return (await matchedPaths(await sendWithEnv(isolate, { resources: resources(60) }, options))).length;
  };
  // The cache has 40 of the files; the Cloud Controller has the other ones.
  cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes > 40;
  const isolate = { ...env, CLOUD_CONTROLLER_URL };
  expect(await probe(isolate)).toBe(60);
  // Nor if it looks like a retry.
  expect(await probe(isolate)).toBe(60);
  expect(await requestSizes()).toEqual([20, 20]);
  expect(loggedEvents().filter((event) => event !== "matched")).toEqual([]);
  expect((await catalog().page()).resources.toSorted()).toEqual(present.toSorted());
  const admin = {
    method: "GET",
    url: CACHE_URL,
    token: await signToken({ scope: ["cloud_controller.admin"] }),
  };
  const response = await sendWithEnv(isolate, undefined, admin);
  expect(await response.json()).toMatchObject({ suspended_until: null, last_hour: { requests: 0 } });

  cloudController.hasFile = () => false;
  expect(await push(resources(40))).toBe(40);
  await publish();
  expect(await probe({ ...env, CLOUD_CONTROLLER_URL })).toBe(0);
  cloudController.hasFile = ({ size_in_bytes }) => size_in_bytes === 1;
  expect(await probe({ ...env, CLOUD_CONTROLLER_URL })).toBe(1);
  // Its match does not make the rejections of the suspended cache credible.
  expect(await push(resources(40).slice(1))).toBe(0);
  expect(await countPresent()).toBe(40);
});

it("publishes a suspension that begins while the manifest is written (R1.6)", async () => {
  await report({ present: [keyOf(50)] });
  advanceClock(20_000);
  const put = async (name: string, value: string) => {
    if (name === "manifest")
      await catalog().reportRejections({
        asOf: Date.now(),
        verified: 20,
        rejected: firstKeys(20).map((key) => key.slice(0, 40)),
      });
    return env.RESOURCE_CACHE.put(name, value);
  };
  const RESOURCE_CACHE = { get: () => null, put, delete: async () => {} };
  await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
  await publish();
  expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
});

it("publishes a suspension after KV refused the delta of the same alarm (R1.6)", async () => {
  INLINE_DELTA.maxBytes = 0;
  // KEYS_PER_DAY is 10: the resources with the last SHA-1s have keys.
  await report({ removed: [resource(39).checksum.value] });
  await publish();
  // The key is deleted 20 minutes later, and the tombstone 25 hours after that.
  for (const hours of [1, 24]) {
    advanceClock(hours * 3_600_000);
    await runAlarm();
  }
  advanceClock(30 * 60_000);
  await report({ present: [keyOf(50)] });
  await publish();
  expect(await readManifest()).toMatchObject({ delta: { added: 1, removed: 1 } });
  advanceClock(31 * 60_000);
  const rejected = firstKeys(20).map((key) => key.slice(0, 40));
  await catalog().reportRejections({ asOf: Date.now(), verified: 20, rejected });
  const put = (name: string, value: string) =>
    name.startsWith("delta/") ? Promise.reject(new Error("429")) : env.RESOURCE_CACHE.put(name, value);
  const RESOURCE_CACHE = { get: () => null, put, delete: async () => {} };
  await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
  expect(loggedEvents()).toContain("catalog-step-failed");
  await publish();
  expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
});

it("keeps a rejected file that was added after the Cloud Controller was called (R1.3)", async () => {
  const before = Date.now();
  await report({ present: [keyOf(99)], asOf: before });
  await catalog().reportRejections({
    asOf: before - 1_000,
    verified: 9,
    rejected: [resource(99).checksum.value],
  });
  expect(await countPresent()).toBe(41);
  await catalog().reportRejections({
    asOf: before + 1,
    verified: 9,
    rejected: [resource(99).checksum.value, "f".repeat(40)],
  });
  expect(await countPresent()).toBe(40);
  expect((await catalog().status()).removals).toBe(1);
});
