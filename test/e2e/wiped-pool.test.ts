import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { PushFailed } from "../foundation/cf-push/cf-connection.ts";
import { type AppFixture, createApp } from "../support/node/app-fixture.ts";
import { type Harness, type Resource, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";

/** Files of the app; FILES=12000 in the environment takes a larger one. */
const FILES = Number(process.env.FILES ?? 5_600);
const MINUTE_MS = 60_000;
/** For so long a cache that was contradicted is suspended. */
const SUSPENDED_MS = 10 * MINUTE_MS;
const PUSHED_MAX_MS = 120_000;
const GONE = expect.stringMatching(/Could not find object '[0-9a-f]{40}'/);

let harness: Harness;
let app: LargeApp;
/** Pushed once in a while, and wiped with the rest. */
let small: AppFixture;

beforeAll(async () => {
  // A busy machine may take seconds for what the Cloud Controller is asked before the answer. No keys: the snapshot is
  // what a push meets here, and a key takes a local KV longer than it does KV.
  const variables = { LOOKUP_DEADLINE_MS: "60000", KEYS_PER_DAY: "0" };
  harness = await startHarness({ title: "a pool that has lost files", bucket: false, variables });
  app = await createLargeApp(FILES);
  small = await createApp();
  for (let number = 0; number < 40; number++) await small.write(`small/${number}`);
  for (const { path } of [app, small]) {
    await harness.fillPool(path);
    await harness.report({ present: await resourcesOf(path) });
  }
  await harness.waitUntilPublished();
}, PUSHED_MAX_MS);
afterAll(async () => {
  await harness.stop();
  await app.remove();
  await small.remove();
}, START_TIMEOUT_MS);

// No push is taken for another one's second try.
beforeEach(() => harness.advanceClock(SUSPENDED_MS));

async function resourcesOf(directory: string): Promise<Resource[]> {
  return (await gatherDirectory(directory)).filter(({ size }) => size > 0);
}

const pool = () => harness.foundation.cloudController.pool;

/** One of so many files of the app, from the pool, which tells nobody. */
async function deleteOneOf(part: number): Promise<number> {
  const lost = (await resourcesOf(app.path)).filter((_, index) => index % part === part / 2);
  const sha1s = new Set(lost.map(({ sha1 }) => sha1));
  for (const sha1 of sha1s) await pool().delete(sha1);
  return sha1s.size;
}

/** What the cache claims, and the pool lacks. */
async function contradictions(): Promise<string[]> {
  const blobs = new Set(await pool().list());
  return (await harness.listCatalog()).filter((sha1) => !blobs.has(sha1));
}

it.each<[string, number, number]>([
  ["0.1 %", 1_000, 0],
  ["1 %", 100, 2 * MINUTE_MS],
])(
  "%s of the files are deleted: the second try uploads them",
  { timeout: PUSHED_MAX_MS },
  async (label, part, pause) => {
    const lost = await deleteOneOf(part);
    const first = await harness.tryPush(app.path, `${label} deleted`);
    expect(first).toBeInstanceOf(PushFailed);
    expect(first).toMatchObject({ message: GONE });
    await harness.advanceClock(pause);
    const second = await harness.push(app.path, "  2nd try");
    expect(second.rejected).toBeGreaterThan(0);
    expect(second).toMatchObject({ uploadedFiles: lost });
    await harness.waitUntilPublished();
    expect(await contradictions()).toEqual([]);
  },
);

it("an older copy is restored: the second try uploads what came since", {
  timeout: PUSHED_MAX_MS,
}, async ({ onTestFinished }) => {
  onTestFinished(() => rm(join(app.path, "node_modules/package-150/since"), { recursive: true }));
  const copy = new Set(await pool().list());
  for (let number = 0; number < 300; number++) await app.write(`node_modules/package-150/since/${number}.js`);
  await harness.fillPool(app.path);
  await harness.report({ present: await resourcesOf(app.path) });
  await harness.waitUntilPublished();
  for (const sha1 of await pool().list()) if (!copy.has(sha1)) await pool().delete(sha1);

  expect(await harness.tryPush(app.path, "an older copy restored")).toMatchObject({ message: GONE });
  expect(await harness.push(app.path, "  2nd try")).toMatchObject({ uploadedFiles: 300 });
  await harness.waitUntilPublished();
  expect(await contradictions()).toEqual([]);
});

it("the pool is wiped: the second try succeeds, and ten minutes later the cache is right", {
  timeout: PUSHED_MAX_MS,
}, async () => {
  await pool().wipe();
  expect(await harness.tryPush(app.path, "a wiped pool")).toMatchObject({ message: GONE });
  const second = await harness.push(app.path, "  2nd try");
  expect(second).toMatchObject({ matched: 0, uploadedFiles: FILES });
  await harness.waitUntilPublished();
  expect(await harness.catalogStatus()).toMatchObject({ suspendedUntil: expect.any(String) });

  // Ten minutes' traffic: only the Cloud Controller answers, and the catalog learns of it.
  expect(await harness.push(small.path, "  another app", { user: "another" })).toMatchObject({
    snapshot: 0,
    keys: 0,
    matched: 0,
  });
  const suspended = await harness.push(app.path, "  by another user", { user: "another" });
  expect(suspended).toMatchObject({ snapshot: 0, keys: 0, uploadedFiles: 0 });
  await harness.advanceClock(SUSPENDED_MS);
  await harness.waitUntilPublished();
  expect(await harness.catalogStatus()).toMatchObject({ suspendedUntil: null });
  expect(await contradictions()).toEqual([]);
  const resumed = await harness.push(app.path, "  ten minutes later", { user: "a third" });
  expect(resumed).toMatchObject({ matched: FILES, snapshot: FILES, origin: 0 });
});
