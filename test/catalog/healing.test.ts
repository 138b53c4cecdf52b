import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { catalog, readManifest, report, runAlarm, withVariables } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import { keyOf, matchedPaths, resource, type SentResource, sendWith } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const keys = (count: number) => Array.from({ length: count }, (_, index) => keyOf(index));
const present = async () => (await catalog().page()).resources.length;
const points: { indexes: string[]; blobs: string[]; doubles: number[] }[] = [];
const METRICS = { writeDataPoint: (point: (typeof points)[number]) => points.push(point) };

/** For longer than an answer waits for what is verified before it. */
const SILENT_MS = 1_000;
const LOST = new Error("connection lost");

/** The pool of the Cloud Controller: what it holds, and after how many questions it falls silent. */
const pool = { holds: (_: SentResource) => true as boolean, answers: Number.POSITIVE_INFINITY, freezesMs: 0 };

/** A push, with an isolate of its own. */
async function push(resources: SentResource[], user = crypto.randomUUID()): Promise<number> {
  const token = await signToken({ user_id: user });
  const bindings = { CLOUD_CONTROLLER_URL, METRICS };
  return (await matchedPaths(await sendWith(bindings, { resources }, { token }))).length;
}

async function publish(): Promise<void> {
  advanceClock(20_000);
  await runAlarm();
}

let logs: Record<string, unknown>[];
let questions: Request[];
const events = () => logs.map(({ event }) => event);
const askedInAll = async () =>
  (
    await Promise.all(questions.map(async (each) => (await each.clone().json<{ resources: [] }>()).resources))
  ).flat().length;

beforeEach(async () => {
  logs = collectLogs();
  points.length = 0;
  Object.assign(pool, { holds: () => true, answers: Number.POSITIVE_INFINITY, freezesMs: 0 });
  questions = fakeCloudController((request) => {
    if (pool.freezesMs > 0) advanceClock(pool.freezesMs);
    if (pool.freezesMs > 0) return Promise.reject(LOST);
    if (questions.length > pool.answers) return scheduler.wait(SILENT_MS).then(() => Promise.reject(LOST));
    return respondWithMatches((each) => pool.holds(each))(request);
  });
  await report({ present: keys(40), asOf: Date.now() - 1_000 });
  await publish();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("behind each answer", () => {
  it("five of the claims are looked at, and all is well where the Cloud Controller matches them", async () => {
    expect(await push(row(40))).toBe(40);
    expect(await askedInAll()).toBe(5);
    expect(events()).not.toContain("matches-rejected");
  });

  it("a denial leads to all claims being asked, and what is denied leaves the catalog", async () => {
    pool.holds = ({ size_in_bytes }) => size_in_bytes > 4;
    // The sample of five meets one of the four in most pushes.
    for (let attempt = 0; attempt < 30 && (await present()) === 40; attempt++) await push(row(40));
    expect(await present()).toBe(36);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "matches-rejected", verified: 40, rejected: 4 }),
    );
    expect(points).toContainEqual({
      indexes: ["matches-rejected"],
      blobs: ["uaa.example.com"],
      doubles: [40, 4],
    });
    expect(events()).not.toContain("cache-suspended");
    await publish();
    expect(await push(row(40))).toBe(36);
  });

  it("no answer denies nothing", async () => {
    pool.answers = 0;
    const token = await signToken();
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "200" };
    await sendWith(bindings, { resources: row(40) }, { token });
    expect(events()).not.toContain("matches-rejected");
    expect(await present()).toBe(40);
  });
});

describe("the same question again, which is most likely a push that has failed", () => {
  it("is verified before the answer: what the Cloud Controller denies is not claimed", async () => {
    expect(await push(row(40), "a")).toBe(40);
    pool.holds = ({ size_in_bytes }) => size_in_bytes > 4;
    expect(await push(row(40), "a")).toBe(36);
    expect(await present()).toBe(36);
  });

  it("is verified with at most 20 requests of 40 before the response, and 20 of 250 after it", async () => {
    const many = Array.from({ length: 4_999 }, (_, index) => resource(index));
    await report({ present: keys(4_999) });
    await publish();
    expect(await push(many, "a")).toBe(4_999);
    questions.length = 0;
    expect(await push(many, "a")).toBe(4_999);
    const sizes = await Promise.all(
      questions.map(async (each) => (await each.clone().json<{ resources: [] }>()).resources.length),
    );
    expect(sizes.slice(0, 20)).toEqual(Array(20).fill(40));
    expect(sizes.slice(20)).toEqual([...Array(16).fill(250), 4_999 - 800 - 4_000]);
    expect(logs.findLast(({ event }) => event === "matched")).toMatchObject({ verified: 800, rejected: 0 });
  });

  it("is verified with larger requests if LOOKUP_DEADLINE_MS leaves the time", async () => {
    const many = Array.from({ length: 2_000 }, (_, index) => resource(index));
    await report({ present: keys(2_000) });
    await publish();
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "60000" };
    const token = await signToken({ user_id: "a" });
    for (let round = 0; round < 2; round++) await sendWith(bindings, { resources: many }, { token });
    expect(logs.findLast(({ event }) => event === "matched")).toMatchObject({ verified: 2_000 });
  });

  it("reports rejections as they come: those before the Cloud Controller falls silent are known", async () => {
    const many = Array.from({ length: 500 }, (_, index) => resource(index));
    await report({ present: keys(500) });
    await publish();
    expect(await push(many, "a")).toBe(500);
    pool.answers = questions.length + 3;
    pool.holds = ({ size_in_bytes }) => size_in_bytes % 10 !== 0;
    const token = await signToken({ user_id: "a" });
    await sendWith({ CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "2000" }, { resources: many }, { token });
    const reports = logs.filter(({ event }) => event === "matches-rejected");
    expect(reports.length).toBeGreaterThanOrEqual(2);
    const denied = reports.reduce((sum, report) => sum + (report.rejected as number), 0);
    expect(await present()).toBe(500 - denied);
  });

  it("claims nothing that was not confirmed, once anything was denied", async () => {
    const many = Array.from({ length: 500 }, (_, index) => resource(index));
    await report({ present: keys(500) });
    await publish();
    expect(await push(many, "a")).toBe(500);
    // Of the questions of 40, drawn at random, four are answered within a quarter of the deadline.
    pool.answers = questions.length + 4;
    pool.holds = ({ size_in_bytes }) => size_in_bytes % 2 === 1;
    const token = await signToken({ user_id: "a" });
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "3000" };
    const matched = await matchedPaths(await sendWith(bindings, { resources: many }, { token }));
    expect(matched.length).toBeGreaterThan(0);
    expect(matched.length).toBeLessThan(160);
    expect(matched.filter((path) => Number(path?.match(/\d+/)?.[0]) % 2 === 1)).toEqual([]);
  });

  it("claims what it did where the Cloud Controller does not answer", async () => {
    expect(await push(row(40), "a")).toBe(40);
    pool.answers = 0;
    const token = await signToken({ user_id: "a" });
    const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "2000" };
    expect(await matchedPaths(await sendWith(bindings, { resources: row(40) }, { token }))).toHaveLength(40);
  });

  it("claims nothing that the cache said over a minute ago, if the isolate was frozen meanwhile", async () => {
    expect(await push(row(40), "a")).toBe(40);
    pool.freezesMs = 65_000;
    expect(await push(row(40), "a")).toBe(0);
  });

  it("may come after ten minutes, and is then a question like any other", async () => {
    expect(await push(row(40), "a")).toBe(40);
    advanceClock(10 * 60_000);
    pool.holds = () => false;
    expect(await push(row(40), "a")).toBe(40);
  });
});

describe("a pool that was wiped", () => {
  it("suspends the cache for ten minutes: only the Cloud Controller answers, and the catalog is not erased", async () => {
    pool.holds = () => false;
    expect(await push(row(40))).toBe(40);
    expect(events()).toContain("cache-suspended");
    expect(points.map(({ indexes }) => indexes[0])).toContain("matches-rejected");
    expect(await present()).toBe(40);
    await publish();
    expect((await catalog().status()).suspendedUntil).not.toBe(null);
    expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
    expect(await push(row(40))).toBe(0);
    // What is denied while nothing has been matched is not believed.
    expect(await present()).toBe(40);

    pool.holds = ({ size_in_bytes }) => size_in_bytes > 20;
    expect(await push(row(40))).toBe(20);
    expect(await push(row(40))).toBe(20);
    expect(await present()).toBe(20);

    advanceClock(10 * 60_000);
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    expect(events()).toContain("cache-resumed");
    expect(await readManifest()).toMatchObject({ suspendedUntil: null });
    expect(await push(row(40))).toBe(20);
  });

  it("or a Cloud Controller whose matching is off, for however long, erases nothing", async () => {
    pool.holds = () => false;
    for (let round = 0; round < 4; round++) {
      await push(row(40));
      await publish();
      await push(row(40));
      advanceClock(10 * 60_000);
      await runAlarm();
    }
    expect(await present()).toBe(40);
    pool.holds = () => true;
    advanceClock(20_000);
    await runAlarm();
    advanceClock(10 * 60_000);
    await publish();
    expect(await push(row(40))).toBe(40);
  });

  it("of few claims each: they are added up, so that small apps suspend the cache too", async () => {
    pool.holds = () => false;
    for (let app = 0; app < 3; app++) await push(row(40).slice(4 * app, 4 * app + 4));
    expect(events()).toContain("cache-suspended");
  });
});

it("a suspension that comes while the manifest is being written is published all the same", async () => {
  await report({ present: [keyOf(50)] });
  advanceClock(20_000);
  const put = async (name: string, value: string) => {
    if (name === "manifest")
      await catalog().reportRejections({
        asOf: Date.now(),
        verified: 20,
        rejected: keys(20).map((key) => key.slice(0, 40)),
      });
    return env.RESOURCE_CACHE.put(name, value);
  };
  const RESOURCE_CACHE = { get: () => null, put, delete: async () => {} };
  await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
  await publish();
  expect(await readManifest()).toMatchObject({ suspendedUntil: expect.stringMatching(/Z$/) });
});

it("a denial is as old as its question: what was seen to be held since stays", async () => {
  const before = Date.now();
  await report({ present: [keyOf(1)], asOf: before });
  await catalog().reportRejections({
    asOf: before - 1_000,
    verified: 9,
    rejected: [resource(1).checksum.value],
  });
  expect(await present()).toBe(40);
  await catalog().reportRejections({
    asOf: before + 1,
    verified: 9,
    rejected: [resource(1).checksum.value, "f".repeat(40)],
  });
  expect(await present()).toBe(39);
  expect((await catalog().status()).removalsRemembered).toBe(1);
});
