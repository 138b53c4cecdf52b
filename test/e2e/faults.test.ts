import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import type { Fault } from "./fault.ts";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { matchFaults } from "./match-faults.ts";

/** Long enough for a look-up on a busy machine, and short enough for tests that exceed it. */
const DEADLINE_MS = 2_000;
const SNAPSHOT_TIMEOUT_MS = 10_000;
/** The time after which the alarm runs again if the object was restarted during one. */
const ALARM_RETRY_MS = 60_000;
/** Files that the cache matches, and files that only the Cloud Controller does. */
const CACHED = 120;
const UNCACHED = 10;

const MATCHES = "POST /v3/resource_matches";
const CLOUD_CONTROLLER_WARNING = /^The Cloud Controller did not match resources/;
const cacheWarning = (files: number) =>
  new RegExp(`^The resource cache could not look up ${files} files: some may be uploaded although`);

let harness: Harness;
let app: AppFixture;
let round = 0;

beforeAll(async () => {
  const variables = { LOOKUP_DEADLINE_MS: String(DEADLINE_MS) };
  harness = await startHarness({ title: "faults", bucket: false, variables });
  app = await createApp();
  for (let i = 0; i < CACHED; i++) await app.write(`cached/${i}`);
  await harness.pushDirectly(app.path);
  await harness.push(app.path, "1st push");
  await harness.waitForEntries(CACHED);
  await harness.publishSnapshot();
}, START_TIMEOUT_MS);
afterAll(async () => {
  await harness.stop();
  await app.remove();
});

beforeEach(async () => {
  round += 1;
  for (let i = 0; i < UNCACHED; i++)
    await app.write(`uncached/${i}`, `the content of ${i} in round ${round}`);
  await harness.pushDirectly(app.path);
});
afterEach(async () => {
  harness.foundation.cloudController.faults.set({});
  await removeFault();
});

const injectFault = (fault: Fault) => harness.command("PUT", "fault", fault);
const removeFault = () => harness.command("DELETE", "fault");
/** A new isolate has no cached manifest, delta or snapshot. */
const replaceIsolate = () => harness.command("DELETE", "isolate");

const FROM_CACHE = { cached: CACHED };
const ALL = { requested: CACHED + UNCACHED, matched: CACHED + UNCACHED, uploadedFiles: 0, warnings: [] };

describe("a fault of the Cloud Controller", () => {
  it.each(matchFaults(DEADLINE_MS))(
    "matches the files of the cache when the Cloud Controller responds with %s (R2.1)",
    async (name, fault) => {
      harness.foundation.cloudController.faults.set({ [MATCHES]: fault });
      const pushed = await harness.push(app.path, `Cloud Controller: ${name}`);
      expect(pushed).toMatchObject({ ...FROM_CACHE, origin: 0, matched: CACHED, uploadedFiles: UNCACHED });
      expect(pushed.warnings).toEqual([expect.stringMatching(CLOUD_CONTROLLER_WARNING)]);
      const pauseSeconds = Number(fault.headers?.["Retry-After"] ?? 0);
      // One request in the look-up, and unless it has to pause, one after the response to verify a sample of the matches.
      await vi.waitFor(() => expect(harness.originRequests()).toBe(pauseSeconds > 0 ? 1 : 2));

      harness.foundation.cloudController.faults.set({});
      await harness.advanceClock(1_000 * pauseSeconds);
      expect(await harness.push(app.path, "  after the fault")).toMatchObject({
        ...ALL,
        ...FROM_CACHE,
        origin: UNCACHED,
      });
    },
  );

  it("matches all files when the Cloud Controller responds late, but within the deadline", async () => {
    harness.foundation.cloudController.faults.set({ [MATCHES]: { latency_ms: DEADLINE_MS / 5 } });
    const pushed = await harness.push(app.path, "Cloud Controller: a little latency");
    expect(pushed).toMatchObject({ ...ALL, ...FROM_CACHE, origin: UNCACHED });
  });
});

describe("a fault of KV", () => {
  const FROM_CLOUD_CONTROLLER = { cached: 0, origin: CACHED + UNCACHED };

  beforeAll(async () => {
    // From here on the manifest contains a delta.
    const { entries } = await harness.catalogStatus();
    await app.write("uncached/0", "in the delta");
    await harness.pushDirectly(app.path);
    await harness.push(app.path, "a change");
    await harness.waitForEntries(entries + 1);
  });
  beforeEach(replaceIsolate);

  it.each<[string, Fault]>([
    ["all reads fail", { kind: "fail", operations: ["get"] }],
    ["all reads and writes fail", { kind: "fail", operations: ["get", "put", "delete"] }],
    ["the manifest can't be read", { kind: "fail", operations: ["get"], prefixes: ["manifest"] }],
    ["the manifest is garbage", { kind: "garbage", operations: ["get"], prefixes: ["manifest"] }],
  ])("matches only from the Cloud Controller, with a warning, when %s (R1.2, R2.1)", async (name, fault) => {
    await injectFault(fault);
    const pushed = await harness.push(app.path, `KV: ${name}`);
    const { warnings: _, ...all } = ALL;
    expect(pushed).toMatchObject({ ...all, ...FROM_CLOUD_CONTROLLER });
    expect(pushed.warnings).toEqual([expect.stringMatching(cacheWarning(CACHED + UNCACHED))]);
  });

  it.each<[string, Fault, object]>([
    [
      "from keys when the snapshot can't be read",
      { kind: "fail", operations: ["get"], prefixes: ["snapshot/"] },
      { keys: CACHED, origin: UNCACHED },
    ],
    [
      "from keys when the snapshot is garbage",
      { kind: "garbage", operations: ["get"], prefixes: ["snapshot/"] },
      { keys: CACHED, origin: UNCACHED },
    ],
    [
      "without keys when the snapshot has the whole pool",
      { kind: "hang", operations: ["get"], prefixes: [""] },
      { snapshot: CACHED, origin: UNCACHED },
    ],
    [
      "from the Cloud Controller when snapshot and keys are garbage",
      { kind: "garbage", operations: ["get"], prefixes: ["snapshot/", ""] },
      FROM_CLOUD_CONTROLLER,
    ],
    [
      "from the cache when reads are slow, but within the deadline",
      { kind: "slow", operations: ["get"], ms: DEADLINE_MS / 8 },
      { cached: CACHED, origin: UNCACHED },
    ],
  ])("matches all files %s (R2.1)", async (name, fault, matches) => {
    await injectFault(fault);
    expect(await harness.push(app.path, `KV: ${name}`)).toMatchObject({ ...ALL, ...matches });
  });

  it("matches from the Cloud Controller, with a warning, when neither snapshot nor keys can be read (R2.1)", async () => {
    await injectFault({ kind: "fail", operations: ["get"], prefixes: ["snapshot/", ""] });
    const pushed = await harness.push(app.path, "KV: snapshot and keys can't be read");
    expect(pushed).toMatchObject({ ...FROM_CLOUD_CONTROLLER, uploadedFiles: 0 });
    expect(pushed.warnings).toEqual([expect.stringMatching(cacheWarning(CACHED + UNCACHED))]);
  });

  it.each<[string, Fault]>([
    ["reads hang", { kind: "hang", operations: ["get"] }],
    ["reads exceed the deadline", { kind: "slow", operations: ["get"], ms: 2 * DEADLINE_MS }],
  ])("matches nothing, with a warning, when %s (R2.2)", async (name, fault) => {
    await injectFault(fault);
    const pushed = await harness.push(app.path, `KV: ${name}`);
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED, cached: 0, origin: 0 });
    expect(pushed.warnings).toContainEqual(expect.stringMatching(cacheWarning(CACHED + UNCACHED)));
  });

  it("uploads all files when neither KV nor the Cloud Controller responds (R2.1)", async () => {
    await injectFault({ kind: "fail", operations: ["get", "put", "delete"] });
    harness.foundation.cloudController.faults.set({ [MATCHES]: { cut: "before" } });
    const pushed = await harness.push(app.path, "KV and Cloud Controller fail");
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED });
    expect(pushed.warnings).toHaveLength(2);
  });
});

describe("a fault during publishing", () => {
  const FROM_BOTH = { ...ALL, cached: CACHED, origin: UNCACHED };
  const ALL_FROM_CACHE = { ...ALL, cached: CACHED + UNCACHED, origin: 0 };

  it("publishes all changes once KV accepts writes again (R1.5)", async () => {
    const { entries, published } = await harness.catalogStatus();
    await injectFault({ kind: "fail", operations: ["put"] });
    for (const times of [1, 2]) {
      expect(await harness.push(app.path, `KV: ${times} failed writes`)).toMatchObject(FROM_BOTH);
      await harness.waitForFaults(times);
      await replaceIsolate();
    }
    const { dirty_since: dirtySince, ...unpublished } = await harness.catalogStatus();
    expect(unpublished).toMatchObject({ entries: entries + UNCACHED, published });
    expect(dirtySince).not.toBe(null);
    await removeFault();
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  after the fault")).toMatchObject(ALL_FROM_CACHE);
  });

  it("publishes all changes after a restart of the catalog during a write that hangs (R1.5)", async () => {
    const { entries } = await harness.catalogStatus();
    await injectFault({ kind: "hang", operations: ["put"] });
    expect(await harness.push(app.path, "KV: writes hang")).toMatchObject(FROM_BOTH);
    await harness.waitForFaults(1);
    await removeFault();
    await harness.command("DELETE", "catalog");
    await harness.advanceClock(ALARM_RETRY_MS);
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  after the fault")).toMatchObject(ALL_FROM_CACHE);
  });

  it("adds files in a later push when the catalog was unreachable in the first (R2.1)", async () => {
    const { entries } = await harness.catalogStatus();
    await injectFault({ kind: "fail", operations: ["observe"] });
    expect(await harness.push(app.path, "catalog: unreachable")).toMatchObject(FROM_BOTH);
    await harness.waitForFaults(1);
    expect(await harness.catalogStatus()).toMatchObject({ entries });
    await removeFault();
    expect(await harness.push(app.path, "  reachable again")).toMatchObject(FROM_BOTH);
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  after publishing")).toMatchObject(ALL_FROM_CACHE);
  });
});

it("matches from the snapshot of an isolate for at most a minute while KV fails (R1.2)", async () => {
  const { entries } = await harness.catalogStatus();
  await harness.push(app.path, "before the snapshot");
  await harness.waitForEntries(entries + UNCACHED);
  await harness.publishSnapshot();
  await vi.waitFor(async () => {
    expect((await harness.push(app.path, "with the snapshot")).snapshot).toBe(CACHED + UNCACHED);
  }, SNAPSHOT_TIMEOUT_MS);

  await injectFault({ kind: "fail", operations: ["get", "put", "delete"] });
  for (const label of ["KV: all fails, with a cached snapshot", "KV: all fails, half a minute later"]) {
    await app.write("uncached/0", `in no snapshot, ${label}`);
    const pushed = await harness.push(app.path, label);
    expect(pushed).toMatchObject({ snapshot: CACHED + UNCACHED - 1, origin: 0, uploadedFiles: 1 });
    expect(pushed.warnings).toEqual([]);
    await harness.advanceClock(30_000);
  }
  const pushed = await harness.push(app.path, "KV: all fails, a minute later");
  expect(pushed).toMatchObject({ cached: 0, origin: CACHED + UNCACHED, uploadedFiles: 0 });
  expect(pushed.warnings).toEqual([expect.stringMatching(cacheWarning(CACHED + UNCACHED))]);
});
