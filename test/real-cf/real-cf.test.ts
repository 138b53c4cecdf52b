import { writeSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { START_TIMEOUT_MS } from "../e2e/harness.ts";
import { createLargeApp } from "../e2e/large-app.ts";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { ORGANIZATION, SPACE } from "../foundation/cloud-controller/space.ts";
import { type AppFixture, createVariedApp } from "../support/node/app-fixture.ts";
import { findCf } from "./cf-cli.ts";
import { type CfHarness, startCfHarness } from "./cf-harness.ts";

const STDERR = 2;
/** The minimum size of a file in the pool, in bytes. */
const MINIMUM_SIZE = 100;
const SMALL_APP_FILES = 46;
const LARGE_APP_FILES = 6_200;
/** The resources in each request for matches. */
const LARGE_APP_REQUESTS = [5_000, 1_200];
/** cf polls the state of a package every three seconds. */
const PUSH_TIMEOUT_MS = 60_000;
const TEN_MINUTES_MS = 600_000;

const cf = findCf();
if (!cf) {
  writeSync(
    STDERR,
    "\nSkipped the tests of the real cf CLI: set CF_CLI to the path of a cf binary, 8.12 or later.\n",
  );
}

describe.skipIf(!cf)("the real cf CLI", { timeout: PUSH_TIMEOUT_MS }, () => {
  let harness: CfHarness;
  let smallApp: AppFixture;
  let largeApp: AppFixture;

  beforeAll(async () => {
    harness = await startCfHarness(cf as string, { minimumSize: MINIMUM_SIZE });
    [smallApp, largeApp] = [await createSmallApp(), await createLargeApp(LARGE_APP_FILES)];
  }, START_TIMEOUT_MS);
  afterAll(async () => {
    await harness.stop();
    await Promise.all([smallApp.remove(), largeApp.remove()]);
  }, START_TIMEOUT_MS);

  it("fails to log in with a wrong password", async () => {
    expect(await harness.cf(["api", harness.worker.url])).toMatchObject({ code: 0 });
    expect(await harness.cf(["auth", "developer", "wrong"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Credentials were rejected"),
    });
  });

  it("logs in through the Worker and targets the space", async () => {
    const { worker } = harness;
    const run = await harness.cf(["login", "-a", worker.url, "-u", "developer", "-p", "developer"]);
    expect(run).toMatchObject({ code: 0 });
    const { stdout } = await harness.cf(["target"]);
    expect(stdout).toContain(worker.url);
    expect(stdout).toMatch(new RegExp(`^org: +${ORGANIZATION.name}\\nspace: +${SPACE.name}$`, "m"));
  });

  it("refreshes an access token that has expired", async () => {
    const path = join(harness.home, ".cf/config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    const expired = `bearer ${await harness.foundation.uaa.issueToken({ lifetime: -1 })}`;
    await writeFile(path, JSON.stringify({ ...config, AccessToken: expired }));
    expect(await harness.cf(["spaces"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(SPACE.name),
    });
    expect(JSON.parse(await readFile(path, "utf8")).AccessToken).not.toBe(expired);
  });

  it("uploads only files below the minimum size in a second push of 46 files", async () => {
    const first = await harness.cfPush("small", smallApp.path);
    expect(first.uploaded.sort()).toEqual(await pathsOf(smallApp, () => true));
    const second = await harness.cfPush("small", smallApp.path);
    expect(second.uploaded.sort()).toEqual(await pathsOf(smallApp, (size) => size <= MINIMUM_SIZE));
  });

  it("uploads no file in a second push of 6,200 files", async () => {
    const first = await harness.cfPush("large", largeApp.path, LARGE_APP_REQUESTS.length);
    expect(first.run.lines.map(({ resources }) => resources)).toEqual(LARGE_APP_REQUESTS);
    expect(first.uploaded).toHaveLength(LARGE_APP_FILES);
    const second = await harness.cfPush("large", largeApp.path, LARGE_APP_REQUESTS.length);
    expect(second.uploaded).toHaveLength(0);
  });

  it("loses no file of three apps in one manifest with the same path (R3.1)", async () => {
    await smallApp.write("new.txt", Buffer.alloc(1_000, "new in this push"));
    const names = ["web", "worker", "clock"];
    const manifest = join(harness.home, "three-apps.yml");
    const entries = names.map((name) => `- name: ${name}\n  path: ${smallApp.path}\n`);
    await writeFile(manifest, `applications:\n${entries.join("")}`);
    expect(await harness.cf(["push", "-f", manifest, "--no-start"], names.length)).toMatchObject({ code: 0 });
    const known = await pathsOf(smallApp, (size, path) => size > MINIMUM_SIZE && path !== "new.txt");
    for (const name of names) {
      const { uploaded } = await harness.checkPackage(name, smallApp.path);
      expect(uploaded.filter((path) => known.includes(path))).toEqual([]);
    }
  });

  it("fails with cf's message after the pool was wiped, and succeeds when it is repeated (R1.7)", async () => {
    const resources = (await gatherDirectory(largeApp.path)).filter(({ size }) => size > 0);
    await harness.fillPool(largeApp.path);
    await harness.report({ present: resources });
    await harness.waitUntilPublished();
    // So that the push is not a suspected retry of the ones above.
    await harness.advanceClock(TEN_MINUTES_MS);
    await harness.foundation.cloudController.pool.wipe();

    const push = ["push", "wiped", "-p", largeApp.path, "--no-start"];
    expect(await harness.cf(push, LARGE_APP_REQUESTS.length)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Package failed to process correctly after upload"),
    });
    const second = await harness.cfPush("wiped", largeApp.path, LARGE_APP_REQUESTS.length);
    expect(second.uploaded).toHaveLength(LARGE_APP_FILES);
  });

  it("sends one trace id per run, which the Worker passes on to the Cloud Controller", () => {
    const traceIds = harness.runs
      .map(({ passedTraceIds }) => passedTraceIds)
      .filter(({ length }) => length > 0);
    expect(traceIds.length).toBeGreaterThanOrEqual(8);
    expect(traceIds).toEqual(traceIds.map(() => [expect.stringMatching(/^[0-9a-f]{32}$/)]));
    expect(new Set(traceIds.flat()).size).toBe(traceIds.length);
  });

  it("logs the trace id of cf CLI in each line of its requests for matches", () => {
    const pushes = harness.runs.filter(({ lines }) => lines.length > 0);
    expect(pushes.length).toBeGreaterThanOrEqual(7);
    const logged = pushes.map(({ lines }) => lines.map(({ traceId }) => traceId));
    expect(logged).toEqual(pushes.map(({ lines, passedTraceIds }) => lines.map(() => passedTraceIds[0])));
  });
});

/** An app of 46 files with everything that a push treats differently: links, modes, empty files, special names. */
async function createSmallApp(): Promise<AppFixture> {
  const app = await createVariedApp();
  const { length } = await pathsOf(app, () => true, "file");
  for (let number = length; number < SMALL_APP_FILES; number++) {
    const content = Buffer.alloc(2_000 + number, `file ${number} `);
    await app.write(`public/${number}.js`, content, number % 2 === 0 ? 0o755 : 0o644);
  }
  return app;
}

/** The sorted paths of the files and links of an app for which `isSelected` is true. */
async function pathsOf(
  { path }: AppFixture,
  isSelected: (size: number, path: string) => boolean,
  kind?: "file",
): Promise<string[]> {
  const entries = (await gatherDirectory(path)).filter(
    (entry) => entry.kind !== "directory" && (kind === undefined || entry.kind === kind),
  );
  return entries
    .filter(({ size, path }) => isSelected(size, path))
    .map((entry) => entry.path)
    .sort();
}
