import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";

const FILES = 5_600;
const REQUESTS = 2;
/** What the Cloud Controller is asked about behind an answer. */
const SAMPLE = 5;
const MINUTE_MS = 60_000;
/** After this time the same push is no suspected retry. */
const RETRY_MS = 10 * MINUTE_MS;
/** What the catalog writes in a day, by default. */
const KEYS_PER_DAY = 500;

let harness: Harness;

beforeAll(async () => {
  // A busy machine may take seconds, and what is late is uploaded.
  const variables = { LOOKUP_DEADLINE_MS: "60000" };
  harness = await startHarness({ title: "pushes", bucket: false, variables });
}, START_TIMEOUT_MS);
afterAll(() => harness.stop(), START_TIMEOUT_MS);

/** How many different contents an app has that are asked for. */
async function contentsOf({ path }: AppFixture): Promise<number> {
  const entries = await gatherDirectory(path);
  return new Set(entries.filter(({ size }) => size > 0).map(({ sha1 }) => sha1)).size;
}

describe("an app of thousands of files", () => {
  let app: LargeApp;

  beforeAll(async () => {
    app = await createLargeApp(FILES);
  });
  afterAll(() => app.remove());

  it("is uploaded as a whole at first", async () => {
    const first = await harness.push(app.path, "1st push, all new");
    expect(first).toMatchObject({ requested: FILES, matched: 0, uploadedFiles: FILES, warnings: [] });
    expect(first.matchRequestIds).toHaveLength(REQUESTS);
    await harness.advanceClock(RETRY_MS);
  });

  it("is not uploaded at second, for the Cloud Controller knows it", async () => {
    const second = await harness.push(app.path, "2nd push, nothing new");
    expect(second).toMatchObject({ requested: FILES, matched: FILES, uploadedFiles: 0, warnings: [] });
    expect(second.origin).toBeGreaterThanOrEqual(await contentsOf(app));
    expect(second).toMatchObject({ snapshot: 0, keys: 0 });
    await harness.waitForEntries(await contentsOf(app));
  });

  it("is matched by the edge alone in the third push, and the Cloud Controller verifies five files a request", async () => {
    await harness.advanceClock(RETRY_MS);
    const { keysRead } = await harness.readCounts();
    const third = await harness.push(app.path, "3rd push, ten minutes later");
    expect(third).toMatchObject({ requested: FILES, matched: FILES, uploadedFiles: 0, warnings: [] });
    expect(third).toMatchObject({ snapshot: FILES, keys: 0, origin: 0, verified: 0 });
    expect(await harness.readCounts()).toMatchObject({ keysRead });
    await vi.waitFor(() => expect(harness.originRequestSizes()).toEqual(Array(REQUESTS).fill(SAMPLE)));
    expect(harness.originRequests()).toBe(REQUESTS);
  });

  it("has had as many keys written as may be in a day", async () => {
    expect(await harness.countKeys()).toBe(KEYS_PER_DAY);
    expect(await harness.catalogStatus()).toMatchObject({
      keysWaiting: (await contentsOf(app)) - KEYS_PER_DAY,
    });
  });
});

describe("small apps", () => {
  const apps: AppFixture[] = [];
  const newApp = async () => {
    const app = await createApp();
    apps.push(app);
    return app;
  };
  afterAll(() => Promise.all(apps.map((app) => app.remove())));

  it("share files: what one has taught, the other need not upload", async () => {
    const [one, other] = [await newApp(), await newApp()];
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

  it("have one content under many paths and modes, and lose no file over it", async () => {
    const app = await newApp();
    await app.write("a", "writable wherever it lies", 0o644);
    await app.write("b/run", "writable wherever it lies", 0o755);
    await app.write("c/d/e", "writable wherever it lies", 0o600);
    await app.write("f", "read-only somewhere", 0o644);
    await app.write("g/f", "read-only somewhere", 0o444);
    await app.write("h", "read-only", 0o444);
    await app.write("i", "for its owner's eyes", 0o400);
    await app.write("j", "", 0o444);
    const { entries: known } = await harness.catalogStatus();
    // The Cloud Controller itself would fail a package that claims a file whose mode lacks 0600.
    const uploaded = { matched: 3, uploadedFiles: 5 };
    expect(await harness.push(app.path, "many modes, 1st push")).toMatchObject({
      matched: 0,
      uploadedFiles: 8,
    });
    expect(await harness.push(app.path, "many modes, 2nd push")).toMatchObject({ ...uploaded, origin: 1 });
    await harness.waitForEntries(known + 1);
    expect(await harness.push(app.path, "many modes, 3rd push")).toMatchObject({ ...uploaded, snapshot: 3 });
    // That the cache holds each of them changes nothing.
    const other = await newApp();
    await other.write("f", "read-only somewhere");
    await other.write("h", "read-only");
    await other.write("i", "for its owner's eyes");
    await harness.pushDirectly(other.path);
    await harness.push(other.path, "same content, writable");
    await harness.waitForEntries(known + 4);
    expect(await harness.push(app.path, "many modes, all known")).toMatchObject({ ...uploaded, snapshot: 3 });
  });
});
