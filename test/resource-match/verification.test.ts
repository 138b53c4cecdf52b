import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { cacheWithoutKeys } from "../support/cache.ts";
import { catalog, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController } from "../support/origin.ts";
import { keyOf, resource, sendWith } from "../support/worker.ts";

const FILES = 300;
const resources = Array.from({ length: FILES }, (_, index) => resource(index));
const timeouts = { ...TIMEOUT_MS };

let logs: Record<string, unknown>[];
beforeEach(async () => {
  logs = collectLogs();
  await report({ present: resources.map((_, index) => keyOf(index)), asOf: Date.now() - 1_000 });
  advanceClock(20_000);
  await runAlarm();
});
afterEach(async () => {
  Object.assign(TIMEOUT_MS, timeouts);
  vi.restoreAllMocks();
  await reset();
});

it("ends all verification after a response by one deadline, even if LOOKUP_DEADLINE_MS is longer (R2.2)", async () => {
  TIMEOUT_MS.afterResponse = 1_500;
  let count = 0;
  const requests = fakeCloudController(async () => {
    count += 1;
    // Only the sample gets a response, which rejects all of it.
    if (count > 1) return new Promise<Response>(() => {});
    await scheduler.wait(1_200);
    return Response.json({ resources: [] }, { status: 201 });
  });
  const bindings = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "60000", RESOURCE_CACHE: cacheWithoutKeys };
  const startedAt = performance.now();
  const response = await sendWith(bindings, { resources });
  expect(performance.now() - startedAt).toBeLessThan(2_400);
  expect((await response.json<{ resources: unknown[] }>()).resources).toHaveLength(FILES);
  expect(requests.map(({ signal }) => signal.aborted)).toEqual([true, true, true]);
  expect(logs).toContainEqual(
    expect.objectContaining({ event: "matches-rejected", verified: 5, rejected: 5 }),
  );
  expect((await catalog().page()).resources).toHaveLength(FILES - 5);
});
