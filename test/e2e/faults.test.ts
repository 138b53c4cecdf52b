import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import type { Fault } from "./fault.ts";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { matchFaults } from "./match-faults.ts";

/** Long enough for an answer on a busy machine, short enough to wait for it in vain. */
const DEADLINE_MS = 2_000;
const LOADED_MAX_MS = 10_000;
/** An alarm that dies is followed by another after this time. */
const ALARM_FOLLOWS_MS = 60_000;
/** Files that the cache knows, and files that only the Cloud Controller does. */
const CACHED = 120;
const UNCACHED = 10;

const MATCHES = "POST /v3/resource_matches";
const BY_CLOUD_CONTROLLER = /^The Cloud Controller did not match resources/;
const byCache = (files: number) =>
  new RegExp(`^The resource cache did not answer for ${files} files: some may be uploaded although`);

let harness: Harness;
let app: AppFixture;
let round = 0;

beforeAll(async () => {
  const variables = { LOOKUP_DEADLINE_MS: String(DEADLINE_MS) };
  harness = await startHarness({ title: "faults", bucket: false, variables });
  app = await createApp();
  for (let i = 0; i < CACHED; i++) await app.write(`cached/${i}`);
  await harness.pushDirectly(app.path);
  await harness.push(app.path, "learning");
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
  await well();
});

const inflict = (fault: Fault) => harness.command("PUT", "fault", fault);
const well = () => harness.command("DELETE", "fault");
/** An isolate that begins now has nothing to fall back on. */
const beginAfresh = () => harness.command("DELETE", "isolate");

/** What the cache has answered, be it from memory or from keys. */
const OF_CACHE = { cached: CACHED };
const ALL = { requested: CACHED + UNCACHED, matched: CACHED + UNCACHED, uploadedFiles: 0, warnings: [] };

describe("whatever the Cloud Controller does when it is asked for matches, the cache goes on answering", () => {
  it.each(matchFaults(DEADLINE_MS))("%s", async (name, fault) => {
    harness.foundation.cloudController.faults.set({ [MATCHES]: fault });
    const pushed = await harness.push(app.path, `Cloud Controller: ${name}`);
    expect(pushed).toMatchObject({ ...OF_CACHE, origin: 0, matched: CACHED, uploadedFiles: UNCACHED });
    expect(pushed.warnings).toEqual([expect.stringMatching(BY_CLOUD_CONTROLLER)]);
    // One question before the answer, and behind it the sample of what the cache has claimed.
    await vi.waitFor(() => expect(harness.originRequests()).toBe(2));

    harness.foundation.cloudController.faults.set({});
    expect(await harness.push(app.path, "  and when it is well again")).toMatchObject({
      ...ALL,
      ...OF_CACHE,
      origin: UNCACHED,
    });
  });

  it("latency within the deadline only makes the push wait", async () => {
    harness.foundation.cloudController.faults.set({ [MATCHES]: { latency_ms: DEADLINE_MS / 5 } });
    const pushed = await harness.push(app.path, "Cloud Controller: a little latency");
    expect(pushed).toMatchObject({ ...ALL, ...OF_CACHE, origin: UNCACHED });
  });
});

describe("whatever KV does, the Cloud Controller is asked as long as there is time, and no push fails", () => {
  const BY_CLOUD_CONTROLLER_ALONE = { cached: 0, origin: CACHED + UNCACHED };

  beforeAll(async () => {
    // From here on there are changes since the snapshot.
    const { entries } = await harness.catalogStatus();
    await app.write("uncached/0", "of the changes");
    await harness.pushDirectly(app.path);
    await harness.push(app.path, "a change");
    await harness.waitForEntries(entries + 1);
  });
  beforeEach(beginAfresh);

  it.each<[string, Fault]>([
    ["reads fail", { kind: "fail", operations: ["get"] }],
    ["all fails", { kind: "fail", operations: ["get", "put", "delete"] }],
    ["the manifest can't be read", { kind: "fail", operations: ["get"], names: ["manifest"] }],
    ["the manifest is rubbish", { kind: "rubbish", operations: ["get"], names: ["manifest"] }],
    ["the changes can't be read", { kind: "fail", operations: ["get"], names: ["delta/"] }],
    ["the changes are rubbish", { kind: "rubbish", operations: ["get"], names: ["delta/"] }],
  ])("%s: neither keys nor snapshot count", async (name, fault) => {
    await inflict(fault);
    const pushed = await harness.push(app.path, `KV: ${name}`);
    const { warnings: _, ...all } = ALL;
    expect(pushed).toMatchObject({ ...all, ...BY_CLOUD_CONTROLLER_ALONE });
    expect(pushed.warnings).toEqual([expect.stringMatching(byCache(CACHED + UNCACHED))]);
  });

  it.each<[string, Fault, object]>([
    [
      "the snapshot can't be read: keys serve",
      { kind: "fail", operations: ["get"], names: ["snapshot/"] },
      { keys: CACHED, origin: UNCACHED },
    ],
    [
      "the snapshot is rubbish: keys serve",
      { kind: "rubbish", operations: ["get"], names: ["snapshot/"] },
      { keys: CACHED, origin: UNCACHED },
    ],
    [
      "keys are rubbish: the snapshot serves",
      { kind: "rubbish", operations: ["get"], names: [""] },
      { snapshot: CACHED, origin: UNCACHED },
    ],
    [
      "snapshot and keys are rubbish",
      { kind: "rubbish", operations: ["get"], names: ["snapshot/", ""] },
      BY_CLOUD_CONTROLLER_ALONE,
    ],
    [
      "reads are slow, but in time",
      { kind: "slow", operations: ["get"], ms: DEADLINE_MS / 8 },
      { cached: CACHED, origin: UNCACHED },
    ],
  ])("%s", async (name, fault, figures) => {
    await inflict(fault);
    expect(await harness.push(app.path, `KV: ${name}`)).toMatchObject({ ...ALL, ...figures });
  });

  it("keys can't be read: what the snapshot holds is answered, and the warning is of the others", async () => {
    await inflict({ kind: "fail", operations: ["get"], names: [""] });
    const pushed = await harness.push(app.path, "KV: keys can't be read");
    expect(pushed).toMatchObject({ snapshot: CACHED, keys: 0, origin: UNCACHED, uploadedFiles: 0 });
    expect(pushed.warnings).toEqual([expect.stringMatching(byCache(UNCACHED))]);
  });

  it("one bulk read of two fails, without a snapshot", async () => {
    await inflict({ kind: "fail", operations: ["get"], names: ["snapshot/", ""], every: 2 });
    const pushed = await harness.push(app.path, "KV: one read of two fails");
    expect(pushed.keys + pushed.origin).toBe(CACHED + UNCACHED);
    expect(pushed.keys).toBeGreaterThan(0);
    expect(pushed.warnings).toEqual([expect.stringMatching(byCache(100))]);
  });

  it.each<[string, Fault]>([
    ["reads never end", { kind: "hang", operations: ["get"] }],
    ["reads end too late", { kind: "slow", operations: ["get"], ms: 2 * DEADLINE_MS }],
  ])("%s", async (name, fault) => {
    await inflict(fault);
    const pushed = await harness.push(app.path, `KV: ${name}`);
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED, cached: 0, origin: 0 });
    expect(pushed.warnings).toContainEqual(expect.stringMatching(byCache(CACHED + UNCACHED)));
  });

  it("neither KV nor the Cloud Controller answers: everything is uploaded", async () => {
    await inflict({ kind: "fail", operations: ["get", "put", "delete"] });
    harness.foundation.cloudController.faults.set({ [MATCHES]: { cut: "before" } });
    const pushed = await harness.push(app.path, "both: nothing works");
    expect(pushed).toMatchObject({ matched: 0, uploadedFiles: CACHED + UNCACHED });
    expect(pushed.warnings).toHaveLength(2);
  });
});

describe("what the catalog can't write or be told is made up for", () => {
  const LEARNED = { ...ALL, cached: CACHED, origin: UNCACHED };
  const PUBLISHED = { ...ALL, cached: CACHED + UNCACHED, origin: 0 };

  it("writes fail: nothing is published until they work again, and then everything is", async () => {
    const { entries, published } = await harness.catalogStatus();
    await inflict({ kind: "fail", operations: ["put"] });
    for (const times of [1, 2]) {
      expect(await harness.push(app.path, `KV: writes have failed ${times} times`)).toMatchObject(LEARNED);
      await harness.waitForFaults(times);
      await beginAfresh();
    }
    const { dirtySince, ...behind } = await harness.catalogStatus();
    expect(behind).toMatchObject({ entries: entries + UNCACHED, published });
    expect(dirtySince).not.toBe(null);
    await well();
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  and when they work again")).toMatchObject(PUBLISHED);
  });

  it("writes never end, and the catalog is ended in the midst of one: it goes on where it was", async () => {
    const { entries } = await harness.catalogStatus();
    await inflict({ kind: "hang", operations: ["put"] });
    expect(await harness.push(app.path, "KV: writes never end")).toMatchObject(LEARNED);
    await harness.waitForFaults(1);
    await well();
    await harness.command("DELETE", "catalog");
    await harness.advanceClock(ALARM_FOLLOWS_MS);
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  and when they work again")).toMatchObject(PUBLISHED);
  });

  it("the catalog can't be reached: the push goes well, and a later one tells it", async () => {
    const { entries } = await harness.catalogStatus();
    await inflict({ kind: "fail", operations: ["observe"] });
    expect(await harness.push(app.path, "catalog: not reached")).toMatchObject(LEARNED);
    await harness.waitForFaults(1);
    expect(await harness.catalogStatus()).toMatchObject({ entries });
    await well();
    expect(await harness.push(app.path, "  and when it is again")).toMatchObject(LEARNED);
    await harness.waitForEntries(entries + UNCACHED);
    expect(await harness.push(app.path, "  and once more")).toMatchObject(PUBLISHED);
  });
});

it("while KV fails an isolate answers from its snapshot for less than a minute, and not longer", async () => {
  const { entries } = await harness.catalogStatus();
  await harness.push(app.path, "before the snapshot");
  await harness.waitForEntries(entries + UNCACHED);
  await harness.publishSnapshot();
  await vi.waitFor(async () => {
    expect((await harness.push(app.path, "with the snapshot")).snapshot).toBe(CACHED + UNCACHED);
  }, LOADED_MAX_MS);

  await inflict({ kind: "fail", operations: ["get", "put", "delete"] });
  for (const label of ["KV: all fails, with the snapshot", "KV: all fails, half a minute later"]) {
    await app.write("uncached/0", `in no snapshot, ${label}`);
    const pushed = await harness.push(app.path, label);
    expect(pushed).toMatchObject({ snapshot: CACHED + UNCACHED - 1, origin: 0, uploadedFiles: 1 });
    expect(pushed.warnings).toEqual([expect.stringMatching(byCache(1))]);
    await harness.advanceClock(30_000);
  }
  const pushed = await harness.push(app.path, "KV: all fails, a minute later");
  expect(pushed).toMatchObject({ cached: 0, origin: CACHED + UNCACHED, uploadedFiles: 0 });
  expect(pushed.warnings).toEqual([expect.stringMatching(byCache(CACHED + UNCACHED))]);
});
