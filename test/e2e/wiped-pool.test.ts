import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { PushFailed } from "../foundation/cf-push/cf-connection.ts";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import { type Harness, type Resource, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";

/** Files of the app. Set FILES=12000 in the environment for a larger one. */
const FILES = Number(process.env.FILES ?? 5_600);
const MINUTE_MS = 60_000;
const SUSPENSION_MS = 10 * MINUTE_MS;
const PUSH_TIMEOUT_MS = 120_000;
const GONE = expect.stringMatching(/Could not find object '[0-9a-f]{40}'/);

let harness: Harness;
let app: LargeApp;
let smallApp: AppFixture;

beforeAll(async () => {
  // A busy machine may take seconds for a verification. No keys: the local KV writes and reads them more slowly than the real one.
  const variables = { LOOKUP_DEADLINE_MS: "60000", KEYS_PER_DAY: "0" };
  harness = await startHarness({ title: "lost files", bucket: false, variables });
  app = await createLargeApp(FILES);
  smallApp = await createApp();
  for (let number = 0; number < 40; number++) await smallApp.write(`small/${number}`);
  for (const { path } of [app, smallApp]) {
    await harness.fillPool(path);
    await harness.report({ present: await listResources(path) });
  }
  await harness.waitUntilPublished();
}, PUSH_TIMEOUT_MS);
afterAll(async () => {
  await harness.stop();
  await app.remove();
  await smallApp.remove();
}, START_TIMEOUT_MS);

// So that no push is a suspected retry of the previous test's.
beforeEach(() => harness.advanceClock(SUSPENSION_MS));

async function listResources(directory: string): Promise<Resource[]> {
  return (await gatherDirectory(directory)).filter(({ size }) => size > 0);
}

const pool = () => harness.foundation.cloudController.pool;

/** Deletes every `n`th file of the app from the pool, without a report. Returns the number of contents. */
async function deleteEveryNth(n: number): Promise<number> {
  const lost = (await listResources(app.path)).filter((_, index) => index % n === n / 2);
  const sha1s = new Set(lost.map(({ sha1 }) => sha1));
  for (const sha1 of sha1s) await pool().delete(sha1);
  return sha1s.size;
}

/** SHA-1s that the catalog has and the pool lacks. */
async function findStaleEntries(): Promise<string[]> {
  const blobs = new Set(await pool().list());
  return (await harness.listCatalog()).filter((sha1) => !blobs.has(sha1));
}

it.each<[string, number, number]>([
  ["0.1 %", 1_000, 0],
  ["1 %", 100, 2 * MINUTE_MS],
])(
  "fails the first push when %s of the files are deleted from the pool, and uploads them in its retry (R1.7)",
  { timeout: PUSH_TIMEOUT_MS },
  async (label, nth, pauseMs) => {
    const lost = await deleteEveryNth(nth);
    const first = await harness.tryPush(app.path, `${label} deleted`);
    expect(first).toBeInstanceOf(PushFailed);
    expect(first).toMatchObject({ message: GONE });
    await harness.advanceClock(pauseMs);
    const second = await harness.push(app.path, "  retry");
    expect(second.rejected).toBeGreaterThan(0);
    expect(second).toMatchObject({ uploadedFiles: lost });
    await harness.waitUntilPublished();
    expect(await findStaleEntries()).toEqual([]);
  },
);

it("uploads the newer files in the retry of a push when an older copy of the pool is restored (R1.7)", {
  timeout: PUSH_TIMEOUT_MS,
}, async ({ onTestFinished }) => {
  onTestFinished(() => rm(join(app.path, "node_modules/package-150/since"), { recursive: true }));
  const copy = new Set(await pool().list());
  for (let number = 0; number < 300; number++) await app.write(`node_modules/package-150/since/${number}.js`);
  await harness.fillPool(app.path);
  await harness.report({ present: await listResources(app.path) });
  await harness.waitUntilPublished();
  for (const sha1 of await pool().list()) if (!copy.has(sha1)) await pool().delete(sha1);

  expect(await harness.tryPush(app.path, "an older copy restored")).toMatchObject({ message: GONE });
  expect(await harness.push(app.path, "  retry")).toMatchObject({ uploadedFiles: 300 });
  await harness.waitUntilPublished();
  expect(await findStaleEntries()).toEqual([]);
});

it("succeeds in the retry of a push when the pool is wiped, and has a correct cache ten minutes later (R1.6, R1.7)", {
  timeout: PUSH_TIMEOUT_MS,
}, async () => {
  await pool().wipe();
  expect(await harness.tryPush(app.path, "a wiped pool")).toMatchObject({ message: GONE });
  const second = await harness.push(app.path, "  retry");
  expect(second).toMatchObject({ matched: 0, uploadedFiles: FILES });
  await harness.waitUntilPublished();
  expect(await harness.catalogStatus()).toMatchObject({ suspended_until: expect.any(String) });

  // While the cache is suspended only the Cloud Controller matches, and the catalog records its matches.
  expect(await harness.push(smallApp.path, "  another app", { user: "another" })).toMatchObject({
    snapshot: 0,
    keys: 0,
    matched: 0,
  });
  const suspended = await harness.push(app.path, "  by another user", { user: "another" });
  expect(suspended).toMatchObject({ snapshot: 0, keys: 0, uploadedFiles: 0 });
  await harness.advanceClock(SUSPENSION_MS);
  await harness.waitUntilPublished();
  expect(await harness.catalogStatus()).toMatchObject({ suspended_until: null });
  expect(await findStaleEntries()).toEqual([]);
  const resumed = await harness.push(app.path, "  ten minutes later", { user: "a third" });
  expect(resumed).toMatchObject({ matched: FILES, snapshot: FILES, origin: 0 });
});
