import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, it, onTestFinished } from "vitest";
import { push } from "../foundation/cf-push/push-client.ts";
import { startFoundation } from "../foundation/foundation.ts";
import { createVariedApp } from "../support/node/app-fixture.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { startWorkerd } from "../support/node/workerd.ts";

it("ends a push as without the Worker if UAA signs with HS256 (R2.6)", async () => {
  const poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
  onTestFinished(() => rm(poolDirectory, { recursive: true }));
  const limits = { minimumSize: 0 };
  const { uaa, cloudController, close } = await startFoundation({ poolDirectory, limits, signing: "HS256" });
  onTestFinished(close);
  const worker = await startWorkerd({
    modules: inject("worker"),
    variables: { UAA_URL: uaa.url, CLOUD_CONTROLLER_URL: cloudController.url },
  });
  onTestFinished(worker.stop);
  const app = await createVariedApp();
  onTestFinished(app.remove);

  const pushTo = async (url: string) => {
    const target = { url, token: await uaa.issueToken() };
    const { packageGuid, requested, matched, uploadedFiles, uploadedBytes, warnings } = await push(
      app.path,
      target,
    );
    expect(await comparePackage(packageGuid, app.path, target)).toEqual([]);
    return { requested, matched, uploadedFiles, uploadedBytes, warnings };
  };
  expect((await pushTo(worker.url)).matched).toBe(0);
  const direct = await pushTo(cloudController.url);
  expect(direct.matched).toBeGreaterThan(5);
  expect(await pushTo(worker.url)).toEqual(direct);
  const failedOpen = { event: "failed-open", reason: expect.stringMatching(/^unverifiable-token/) };
  expect(worker.lines.filter(({ event }) => event === "failed-open")).toMatchObject([failedOpen, failedOpen]);
});
