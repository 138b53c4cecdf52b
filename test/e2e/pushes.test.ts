import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";

const FILES = 5_600;
const REQUESTS = 2;
/** Matches per request that the Cloud Controller verifies after the response. */
const SAMPLE = 5;
const MINUTE_MS = 60_000;
/** After this time a repeated push is no longer a suspected retry. */
const RETRY_MS = 10 * MINUTE_MS;
/** The default of KEYS_PER_DAY. */
const KEYS_PER_DAY = 500;

let harness: Harness;

beforeAll(async () => {
  // A busy machine may take seconds. Files that miss the deadline are uploaded.
  const variables = { LOOKUP_DEADLINE_MS: "60000" };
  harness = await startHarness({ title: "pushes", bucket: false, variables });
}, START_TIMEOUT_MS);
afterAll(() => harness.stop(), START_TIMEOUT_MS);

/** The number of distinct contents of an app, without empty files, which are not sent. */
async function countContents({ path }: AppFixture): Promise<number> {
  const entries = await gatherDirectory(path);
  return new Set(entries.filter(({ size }) => size > 0).map(({ sha1 }) => sha1)).size;
}

describe("an app of 5,600 files", () => {
  let app: LargeApp;

  beforeAll(async () => {
    app = await createLargeApp(FILES);
  });
  afterAll(() => app.remove());

  it("uploads all 5,600 files in the first push", async () => {
    const first = await harness.push(app.path, "1st push, all new");
    expect(first).toMatchObject({ requested: FILES, matched: 0, uploadedFiles: FILES, warnings: [] });
    expect(first.matchRequestIds).toHaveLength(REQUESTS);
    await harness.advanceClock(RETRY_MS);
  });

  it("matches all 5,600 files in the Cloud Controller in the second push", async () => {
    const second = await harness.push(app.path, "2nd push, nothing new");
    expect(second).toMatchObject({ requested: FILES, matched: FILES, uploadedFiles: 0, warnings: [] });
    expect(second.origin).toBeGreaterThanOrEqual(await countContents(app));
    expect(second).toMatchObject({ snapshot: 0, keys: 0 });
    await harness.waitForEntries(await countContents(app));
  });

  it("matches all 5,600 files in the cache in the third push, and verifies five matches per request (R1.6)", async () => {
    await harness.advanceClock(RETRY_MS);
    const { keysRead } = await harness.readCounts();
    const third = await harness.push(app.path, "3rd push, ten minutes later");
    expect(third).toMatchObject({ requested: FILES, matched: FILES, uploadedFiles: 0, warnings: [] });
    expect(third).toMatchObject({ snapshot: FILES, keys: 0, origin: 0, verified: 0 });
    expect(await harness.readCounts()).toMatchObject({ keysRead });
    await vi.waitFor(() => expect(harness.originRequestSizes()).toEqual(Array(REQUESTS).fill(SAMPLE)));
    expect(harness.originRequests()).toBe(REQUESTS);
  });

  it("writes only KEYS_PER_DAY keys on the first day of a cache", async () => {
    expect(await harness.countKeys()).toBe(KEYS_PER_DAY);
    expect(await harness.catalogStatus()).toMatchObject({
      keys_waiting: (await countContents(app)) - KEYS_PER_DAY,
    });
  });
});

describe("small apps", () => {
  const apps: AppFixture[] = [];
  const addApp = async () => {
    const app = await createApp();
    apps.push(app);
    return app;
  };
  afterAll(() => Promise.all(apps.map((app) => app.remove())));

  it("uploads no file of a small app that another app has uploaded", async () => {
    const [one, other] = [await addApp(), await addApp()];
    for (let i = 0; i < 60; i++) {
      if (i < 40) await one.write(`one/${i}`, `shared by name ${i}`);
      if (i >= 20) await other.write(`other/${i}`, `shared by name ${i}`);
    }
    const { entries: known } = await harness.catalogStatus();
    await harness.push(one.path, "one app, 1st push");
    expect(await harness.push(other.path, "another, sharing half")).toMatchObject({
      matched: 20,
      origin: 20,
    });
    await harness.waitForEntries(known + 20);
    expect(await harness.push(one.path, "one app, 2nd push")).toMatchObject({ snapshot: 20, origin: 20 });
    await harness.waitForEntries(known + 40);
    await harness.advanceClock(RETRY_MS);
    expect(await harness.push(one.path, "one app, 3rd push")).toMatchObject({ matched: 40, snapshot: 40 });
    await vi.waitFor(() => expect(harness.originRequestSizes()).toEqual([SAMPLE]));
  });

  it("loses no file if one content has many paths and modes (R1.8, R3.7)", async () => {
    const app = await addApp();
    await app.write("a", "writable in every path", 0o644);
    await app.write("b/run", "writable in every path", 0o755);
    await app.write("c/d/e", "writable in every path", 0o600);
    await app.write("f", "read-only in one path", 0o644);
    await app.write("g/f", "read-only in one path", 0o444);
    await app.write("h", "read-only", 0o444);
    await app.write("i", "readable by its owner", 0o400);
    await app.write("j", "", 0o444);
    const { entries: known } = await harness.catalogStatus();
    // The Cloud Controller fails a package in which a matched file lacks the mode 0600.
    const uploaded = { matched: 3, uploadedFiles: 5 };
    expect(await harness.push(app.path, "many modes, 1st push")).toMatchObject({
      matched: 0,
      uploadedFiles: 8,
    });
    expect(await harness.push(app.path, "many modes, 2nd push")).toMatchObject({ ...uploaded, origin: 1 });
    await harness.waitForEntries(known + 1);
    expect(await harness.push(app.path, "many modes, 3rd push")).toMatchObject({ ...uploaded, snapshot: 3 });
    // Files whose mode lacks 0600 are uploaded even if the cache has their content.
    const other = await addApp();
    await other.write("f", "read-only in one path");
    await other.write("h", "read-only");
    await other.write("i", "readable by its owner");
    await harness.pushDirectly(other.path);
    await harness.push(other.path, "same content, writable");
    await harness.waitForEntries(known + 4);
    expect(await harness.push(app.path, "many modes, all known")).toMatchObject({ ...uploaded, snapshot: 3 });
  });
});
