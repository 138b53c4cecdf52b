import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import type { Fault as CloudControllerFault } from "../foundation/cloud-controller/faults.ts";
import type { Fault } from "./fault.ts";
import { type Harness, type Resource, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";
import { matchFaults } from "./match-faults.ts";

const DEADLINE_MS = 2_000;
/** The Cloud Controller's 12 ms per file, scaled from a deadline of 8 s. */
const MS_PER_FILE = (12 * DEADLINE_MS) / 8_000;
/** More files than the Cloud Controller can match by the deadline, with four concurrent requests of 250. */
const UNCACHED = 2_500;
const PUSH_TIMEOUT_MS = 120_000;

const MATCHES = "POST /v3/resource_matches";
const MODE_WARNING = expect.stringMatching(/^[\d,]+ files? got the permissions/);

/** Contents that occur in every request of the push. Each test has new ones. */
const SHARED = 30;
/** Modes of a content in the first request, and in the others. The Cloud Controller fails a matched file with 0444. */
const MODES = [
  [0o644, 0o644],
  [0o444, 0o644],
  [0o644, 0o444],
] as const;

let harness: Harness;
let app: LargeApp;
let round = 0;

beforeAll(async () => {
  // No keys: the local KV writes and reads them more slowly than the real one.
  const variables = { LOOKUP_DEADLINE_MS: String(DEADLINE_MS), KEYS_PER_DAY: "0" };
  harness = await startHarness({ title: "push sessions", bucket: false, variables });
  app = await createLargeApp(0);
}, START_TIMEOUT_MS);
afterAll(async () => {
  await harness.stop();
  await app.remove();
}, START_TIMEOUT_MS);

const injectFault = (fault: Fault) => harness.command("PUT", "fault", fault);
const setCloudControllerFault = (fault: CloudControllerFault) =>
  harness.foundation.cloudController.faults.set({ [MATCHES]: fault });
async function removeFaults(): Promise<void> {
  harness.foundation.cloudController.faults.set({});
  await harness.command("DELETE", "fault");
}

/** A fault during one request of a push, or an event after it. */
interface Incident {
  /** The number of the request: from 1, or from -1 backwards. */
  at: number;
  cloudController?: CloudControllerFault;
  worker?: Fault;
  /** Called after the response. */
  afterwards?: (shared: readonly Resource[], user: string) => Promise<unknown>;
}

const replaceIsolate = async (_: unknown, user: string) => {
  await harness.command("DELETE", "isolate");
  await harness.command("DELETE", `session/${user}`);
};
/** Publishes the shared contents, which the cache lacked. */
const publish = async (shared: readonly Resource[]) => {
  await harness.report({ present: shared });
  await harness.publishSnapshot();
};
/** Affects a new isolate, which has nothing cached. */
const KV_FAULT: Fault = { kind: "fail", operations: ["get"] };

/** For the smaller app. */
const SINGLE: [string, Incident[]][] = [
  ["a 500 in the first request", [{ at: 1, cloudController: { status: 500 } }]],
  [
    "no response in the first request, then a new snapshot",
    [{ at: 1, cloudController: { hang: true }, afterwards: publish }],
  ],
  [
    "a closed connection in the first request, then another isolate",
    [{ at: 1, cloudController: { cut: "before" }, afterwards: replaceIsolate }],
  ],
  ["a 429 in the last request", [{ at: -1, cloudController: { status: 429 } }]],
  [
    "half of a JSON body in the last request, and a failing KV",
    [{ at: -1, cloudController: { malformed: true }, worker: KV_FAULT }],
  ],
];
const COMBINED: [string, Incident[]][] = [
  [
    "a 429, then a new snapshot; a closed connection, then another isolate; then neither KV nor a response",
    [
      { at: 1, cloudController: { status: 429 }, afterwards: publish },
      { at: 2, cloudController: { cut: "during" }, afterwards: replaceIsolate },
      { at: 3, cloudController: { hang: true }, worker: KV_FAULT },
    ],
  ],
];

/** With EVERY_FAULT=true, which takes some minutes: every fault in the first and in the last request of each app. */
const EVERY: [string, Incident[]][] = [
  ...([1, -1] as const).flatMap((at) => {
    const which = at === 1 ? "the first request" : "the last request";
    return [
      ...matchFaults(DEADLINE_MS).map(([name, cloudController]): [string, Incident[]] => [
        `${name} in ${which}`,
        [{ at, cloudController }],
      ]),
      [`KV fails in ${which}`, [{ at, worker: KV_FAULT }]] as [string, Incident[]],
    ];
  }),
  ["another isolate after the first request", [{ at: 1, afterwards: replaceIsolate }]],
  ["a new snapshot after the first request", [{ at: 1, afterwards: publish }]],
];

describe.each([
  [5_600, 2],
  [10_600, 3],
])("an app of %i files, sent in %i requests", (files, requests) => {
  let present: Resource[];
  let shared: Resource[];
  /** A folder of each request. */
  const folders = Array.from({ length: requests }, (_, request) => {
    const last = Math.min(5_000 * (request + 1), files) - 200;
    return `node_modules/package-${String(Math.floor(last / 40)).padStart(3, "0")}/shared`;
  });

  beforeAll(async () => {
    const others = (await gatherDirectory(app.path)).filter(({ path }) => path.includes("/shared/")).length;
    await app.grow(files - SHARED * requests - others);
    present = (await gatherDirectory(app.path)).filter(({ size }) => size > 0);
    await harness.fillPool(app.path);
    await harness.report({ present });
    await harness.waitUntilPublished();
  }, PUSH_TIMEOUT_MS);

  beforeEach(async () => {
    round += 1;
    shared = [];
    for (let number = 0; number < SHARED; number++) {
      const content = Buffer.from(`shared ${number} of round ${round}`);
      const [first, others] = MODES[number % MODES.length] as (typeof MODES)[number];
      for (const [request, folder] of folders.entries()) {
        await app.write(`${folder}/${number}`, content, request === 0 ? first : others);
      }
      const resource = { sha1: createHash("sha1").update(content).digest("hex"), size: content.length };
      shared.push(resource);
      await harness.foundation.cloudController.pool.add(resource.sha1, resource.size, content);
    }
  });

  /** Pushes as a new user, who has no push session yet. */
  async function push(label: string, incidents: readonly Incident[]) {
    const user = `user-${round}`;
    const incidentsOf = (request: number) =>
      incidents.filter(({ at }) => (at > 0 ? at : requests + 1 + at) === request);
    const begin = async (request: number) => {
      for (const { cloudController, worker } of incidentsOf(request)) {
        if (cloudController) setCloudControllerFault(cloudController);
        if (!worker) continue;
        await injectFault(worker);
        await harness.command("DELETE", "isolate");
      }
    };
    await begin(1);
    try {
      return await harness.push(app.path, `${files}: ${label}`, {
        user,
        async onResponse(responses) {
          await removeFaults();
          for (const { afterwards } of incidentsOf(responses)) await afterwards?.(shared, user);
          await begin(responses + 1);
        },
      });
    } finally {
      await removeFaults();
    }
  }

  const isEvery = process.env.EVERY_FAULT === "true";

  // With three requests, because one of them is neither the first nor the last.
  const itIfThree = it.runIf(requests === 3 || isEvery);
  itIfThree(
    "loses no file when the Cloud Controller takes 12 ms per file (R3.1)",
    { timeout: PUSH_TIMEOUT_MS },
    async () => {
      await harness.report({ removed: present.slice(0, UNCACHED).map(({ sha1 }) => sha1) });
      await harness.waitUntilPublished();
      const slow = { resource_ms: MS_PER_FILE };
      const always = Array.from({ length: requests }, (_, index) => ({
        at: index + 1,
        cloudController: slow,
      }));
      const pushed = await push("12 ms per file", always).finally(async () => {
        await harness.report({ present });
        await harness.waitUntilPublished();
      });
      expect(pushed.decided).toBeGreaterThanOrEqual(SHARED * (requests - 1));
      // The first request exceeded the deadline.
      expect(pushed.uploadedFiles).toBeGreaterThan(UNCACHED / 10);
    },
  );

  const cases = requests === 2 ? SINGLE : COMBINED;
  it.each<[string, Incident[]]>(isEvery ? [...cases, ...EVERY] : cases)(
    "loses no file of a push of several requests despite %s (R3.1)",
    { timeout: PUSH_TIMEOUT_MS },
    async (label, incidents) => {
      const isFirstFaulty = incidents.some(({ at, cloudController }) => at === 1 && cloudController);
      // With combined incidents the cache has half of the shared contents from the beginning.
      const isCombined = incidents.length > 1;
      const matched = isCombined ? SHARED / 2 : isFirstFaulty ? 0 : SHARED;
      if (isCombined) {
        await harness.report({ present: shared.slice(0, matched) });
        await harness.waitUntilPublished();
      }
      const pushed = await push(label, incidents);
      expect(pushed.decided).toBeGreaterThanOrEqual(SHARED * (requests - 1));
      if (matched > 0) expect(pushed.warnings).toContainEqual(MODE_WARNING);
      expect(pushed.uploadedFiles).toBeGreaterThanOrEqual((SHARED - matched) * requests);
    },
  );
});
