import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type FoundationFixture, startFoundationFixture } from "../foundation-fixture.ts";
import { type DemoConfiguration, readConfiguration } from "./configuration.ts";
import { writeDemoFiles } from "./demo-files.ts";
import { createDemoRequest } from "./demo-request.ts";
import { formatIntroduction } from "./introduction.ts";
import { MatchedLog } from "./matched-log.ts";
import { type DemoResult, pushDemoApp } from "./pushes.ts";
import { writeConfig } from "./start-fixture.ts";

let directory: string;
let foundation: FoundationFixture;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "start-"));
  foundation = await startFoundationFixture();
});

afterAll(async () => {
  await foundation.close();
  await rm(directory, { recursive: true });
});

const configure = async (variables: Record<string, string>) =>
  readConfiguration(await writeConfig(directory, "read-through", variables), {
    uaa: foundation.uaa.url,
    cloudController: foundation.cloudController.url,
  });

/** Formats the introduction after pushes that the cache has matched nothing of. */
async function introduce(configuration: DemoConfiguration, result: Partial<DemoResult> = {}) {
  const { present, app } = await writeDemoFiles(directory);
  const introduction = formatIntroduction({
    workerUrl: "http://localhost:1",
    foundation,
    configuration,
    token: foundation.token,
    tokenHours: 1,
    request: await createDemoRequest(present),
    listed: [],
    presentDirectory: present,
    appDirectory: app,
    poolDirectory: foundation.poolDirectory,
    dataDirectory: directory,
    startCommand: "npm start",
    result: {
      pushes: Array(3).fill({ files: 46, cache: 0, cloudController: 0, uploaded: 46 }),
      excluded: 0,
      excludedBy: new Set(),
      suspendedUntil: null,
      isLate: false,
      ...result,
    },
    columns: 80,
  });
  return introduction.replaceAll(/(?<=\S)\n(?=\S)/g, " ");
}

it("says why nothing matches if FEATURE_RESOURCE_MATCHING is false, and not that files are too small", async () => {
  const configuration = await configure({
    FEATURE_RESOURCE_MATCHING: "false",
    FEATURE_APP_BITS_UPLOAD: "false",
    MINIMUM_SIZE: "100000",
  });
  const introduction = await introduce(configuration, {
    excluded: 11,
    excludedBy: new Set(["MINIMUM_SIZE"]),
  });
  expect(introduction).toContain("FEATURE_RESOURCE_MATCHING is false, so the Worker matches nothing");
  expect(introduction).toContain("FEATURE_APP_BITS_UPLOAD is false: only admins get matches.");
  expect(introduction).toContain("The response is 201 and lists no file.");
  expect(introduction).not.toContain("can't match");
});

it("says which settings exclude files, and that the cache did not have the others in time", async () => {
  const introduction = await introduce(await configure({ MAXIMUM_SIZE: "150000" }), {
    excluded: 20,
    excludedBy: new Set(["MINIMUM_SIZE", "MAXIMUM_SIZE"]),
    isLate: true,
  });
  expect(introduction).toContain(
    "20 of the 46 files can't match, because MINIMUM_SIZE is 65536 bytes and MAXIMUM_SIZE is 150000 bytes.",
  );
  expect(introduction).toContain("The cache did not have the files within 90 seconds");
});

it("does not wait for the cache, nor compare it, if FEATURE_RESOURCE_MATCHING is false", async () => {
  // In shadow mode the Cloud Controller responds, so that this needs no Worker.
  const { settings } = await configure({ MODE: "shadow", FEATURE_RESOURCE_MATCHING: "false" });
  const { app } = await writeDemoFiles(directory);
  const progress: string[] = [];
  const { pushes, isLate } = await pushDemoApp({
    directory: app,
    target: { url: foundation.cloudController.url, token: foundation.token },
    settings,
    log: new MatchedLog(),
    syncCache: () => Promise.reject(new Error("the cache is not synced")),
    readSuspension: async () => null,
    print: (line) => progress.push(line),
  });
  expect(pushes.map(({ cache }) => cache)).toEqual([undefined, undefined, undefined]);
  expect(isLate).toBe(false);
  expect(progress).toEqual(["Pushing the demo app twice …", "Pushing the demo app again …"]);
});
