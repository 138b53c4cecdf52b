import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type AppFixture, createApp } from "../foundry/app-fixture.ts";
import type { Fault } from "../foundry/faults.ts";
import type { CacheFault } from "./cache-fault.ts";
import { openStage, type Stage } from "./stage.ts";

/** Long enough for an answer on a busy machine, short enough to wait for it in vain. */
const DEADLINE_MS = 2_000;
const LOADED_MAX_MS = 10_000;
/** Files that the cache knows, and files that only the Cloud Controller does. */
const CACHED = 120;
const UNCACHED = 10;

const MATCHES = "POST /v3/resource_matches";
const BY_CLOUD_CONTROLLER = /^The Cloud Controller did not match resources/;
const byCache = (files: number) =>
  new RegExp(`^The resource cache did not answer for ${files} files: some may be uploaded although`);

let stage: Stage;
let app: AppFixture;
let round = 0;

beforeAll(async () => {
  const variables = { LOOKUP_DEADLINE_MS: String(DEADLINE_MS) };
  stage = await openStage({ title: "without a queue", queue: false, variables });
  app = await createApp();
  for (let i = 0; i < CACHED; i++) await app.write(`cached/${i}`);
  await stage.pushDirectly(app.path);
  await stage.push(app.path, "learning");
  await stage.untilKeys(CACHED);
});
afterAll(async () => {
  await stage.close();
  await app.remove();
});

beforeEach(async () => {
  round += 1;
  for (let i = 0; i < UNCACHED; i++)
    await app.write(`uncached/${i}`, `the content of ${i} in round ${round}`);
  await stage.pushDirectly(app.path);
});
afterEach(async () => {
  stage.foundry.cloudController.faults.set({});
  await stage.command("DELETE", "fault");
});

const ALL = { asked: CACHED + UNCACHED, matched: CACHED + UNCACHED, uploadedFiles: 0, warnings: [] };

describe("whatever the Cloud Controller does when it is asked for matches, the cache goes on answering", () => {
  it.each<[string, Fault]>([
    ["latency", { latency_ms: 2 * DEADLINE_MS }],
    ["429", { status: 429, headers: { "Retry-After": "60" } }],
    ["500", { status: 500 }],
    ["502 in HTML", { status: 502, body: "<h1>Bad Gateway</h1>" }],
    ["401 in HTML", { status: 401, body: "<h1>Who are you?</h1>" }],
    ["a redirect", { status: 302, headers: { Location: "/v3/elsewhere" }, body: "" }],
    ["never an answer", { hang: true }],
    ["a cut before the answer", { cut: "before" }],
    ["a cut within the answer", { cut: "during" }],
    ["half an answer", { malformed: true }],
    ["an answer of the wrong kind", { status: 201, body: { resources: { all: true } } }],
    ["a stranger in the answer", { lie: "stranger" }],
  ])("%s", async (name, fault) => {
    stage.foundry.cloudController.faults.set({ [MATCHES]: fault });
    const pushed = await stage.push(app.path, `Cloud Controller: ${name}`);
    expect(pushed).toMatchObject({ keys: CACHED, origin: 0, matched: CACHED, uploadedFiles: UNCACHED });
    expect(pushed.warnings).toEqual([expect.stringMatching(BY_CLOUD_CONTROLLER)]);
    expect(stage.originRequests()).toBe(1);

    stage.foundry.cloudController.faults.set({});
    expect(await stage.push(app.path, "  and when it is well again")).toMatchObject({
      ...ALL,
      origin: UNCACHED,
    });
  });

  it("latency within the deadline only makes the push wait", async () => {
    stage.foundry.cloudController.faults.set({ [MATCHES]: { latency_ms: DEADLINE_MS / 5 } });
    const pushed = await stage.push(app.path, "Cloud Controller: a little latency");
    expect(pushed).toMatchObject({ ...ALL, keys: CACHED, origin: UNCACHED });
  });
});

describe("whatever KV does, the Cloud Controller is asked as long as there is time, and no push fails", () => {
  // An isolate that begins now has nothing to fall back on.
  beforeEach(async () => {
    await stage.command("DELETE", "isolate");
  });

  it.each<[string, CacheFault]>([
    ["reads fail", { kind: "fail", operations: ["get"] }],
    ["all fails", { kind: "fail", operations: ["get", "put", "list", "delete"] }],
  ])("%s", async (name, fault) => {
    await stage.command("PUT", "fault", fault);
    const pushed = await stage.push(app.path, `KV: ${name}`);
    const { warnings: _, ...all } = ALL;
    expect(pushed).toMatchObject({ ...all, keys: 0, origin: CACHED + UNCACHED });
    expect(pushed.warnings).toEqual([expect.stringMatching(byCache(CACHED + UNCACHED))]);
  });

  it("one bulk read of two fails", async () => {
    await stage.command("PUT", "fault", { kind: "fail", operations: ["get"], every: 2 });
    const pushed = await stage.push(app.path, "KV: one read of two fails");
    expect(pushed.keys + pushed.origin).toBe(CACHED + UNCACHED);
    expect(pushed.keys).toBeGreaterThan(0);
    expect(pushed.warnings).toEqual([
      expect.stringMatching(/^The resource cache did not answer for \d+ files/),
    ]);
  });

  it.each<[string, CacheFault]>([
    ["reads never end", { kind: "hang", operations: ["get"] }],
    ["reads end too late", { kind: "slow", operations: ["get"], ms: 2 * DEADLINE_MS }],
  ])("%s", async (name, fault) => {
    await stage.command("PUT", "fault", fault);
    const pushed = await stage.push(app.path, `KV: ${name}`);
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED, keys: 0, origin: 0 });
    expect(pushed.warnings).toContainEqual(expect.stringMatching(byCache(CACHED + UNCACHED)));
  });

  it("reads are slow, but in time", async () => {
    await stage.command("PUT", "fault", { kind: "slow", operations: ["get"], ms: DEADLINE_MS / 5 });
    const pushed = await stage.push(app.path, "KV: reads are slow");
    expect(pushed).toMatchObject({ ...ALL, keys: CACHED, origin: UNCACHED });
  });

  it("values are rubbish, which is not held", async () => {
    await stage.command("PUT", "fault", { kind: "rubbish", operations: ["get"] });
    const pushed = await stage.push(app.path, "KV: values are rubbish");
    expect(pushed).toMatchObject({ ...ALL, keys: 0, origin: CACHED + UNCACHED });
  });

  it.each<[string, CacheFault]>([
    ["writes fail", { kind: "fail", operations: ["put"] }],
    ["writes never end", { kind: "hang", operations: ["put"] }],
  ])("%s: nothing is learned until they work again", async (name, fault) => {
    const before = await stage.keys();
    await stage.command("PUT", "fault", fault);
    for (const again of ["", ", again"]) {
      const pushed = await stage.push(app.path, `KV: ${name}${again}`);
      expect(pushed).toMatchObject({ ...ALL, keys: CACHED, origin: UNCACHED });
    }
    expect(await stage.keys()).toBe(before);
    await stage.command("DELETE", "fault");
    await stage.push(app.path, "  and when they work again");
    await stage.untilKeys(before + UNCACHED);
    expect(await stage.push(app.path, "  and once more")).toMatchObject({ ...ALL, origin: 0 });
  });

  it("neither KV nor the Cloud Controller answers: everything is uploaded", async () => {
    await stage.command("PUT", "fault", { kind: "fail", operations: ["get", "put", "list", "delete"] });
    stage.foundry.cloudController.faults.set({ [MATCHES]: { cut: "before" } });
    const pushed = await stage.push(app.path, "both: nothing works");
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED });
    expect(pushed.warnings).toHaveLength(2);
  });
});

it("an isolate that has the snapshot goes on answering from it while KV fails", async () => {
  const before = await stage.keys();
  await stage.push(app.path, "before the snapshot");
  await stage.untilKeys(before + UNCACHED);
  await stage.command("POST", "snapshot");
  await stage.command("DELETE", "isolate");
  await vi.waitFor(async () => {
    expect((await stage.push(app.path, "with the snapshot")).snapshot).toBe(CACHED + UNCACHED);
  }, LOADED_MAX_MS);
  await app.write("uncached/0", "in no snapshot");
  await stage.command("PUT", "fault", { kind: "fail", operations: ["get", "put", "list", "delete"] });
  const pushed = await stage.push(app.path, "KV: all fails, with the snapshot");
  expect(pushed).toMatchObject({ snapshot: CACHED + UNCACHED - 1, uploadedFiles: 1 });
  expect(pushed.warnings).toEqual([expect.stringMatching(byCache(1))]);
});

it("without a queue 500 files are learned for each request, until all are known", async () => {
  const large = await createApp();
  for (let i = 0; i < 700; i++) await large.write(`file-${i}`, `one of many, ${i}`);
  await stage.pushDirectly(large.path);
  const before = await stage.keys();
  for (const [known, then] of [
    [0, 500],
    [500, 700],
  ] as const) {
    const pushed = await stage.push(large.path, `700 files, ${known} of them learned`);
    expect(pushed).toMatchObject({ matched: 700, keys: known, origin: 700 - known, warnings: [] });
    await stage.untilKeys(before + then);
  }
  stage.originRequests();
  expect(await stage.push(large.path, "700 files, all learned")).toMatchObject({ keys: 700, origin: 0 });
  expect(stage.originRequests()).toBe(0);
  await large.remove();
});
