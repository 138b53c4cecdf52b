import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import type { Fault as CloudControllerFault } from "../foundation/cloud-controller/faults.ts";
import type { Fault } from "./fault.ts";
import { type Harness, type Resource, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { createLargeApp, type LargeApp } from "./large-app.ts";
import { matchFaults } from "./match-faults.ts";

const DEADLINE_MS = 2_000;
/** The Cloud Controller's 12 ms a file, to a deadline of 8 s. */
const MS_PER_FILE = (12 * DEADLINE_MS) / 8_000;
/** What the Cloud Controller can't say by the deadline where all of it is unknown: four at once, 250 a question. */
const UNKNOWN = 2_500;
const PUSHED_MAX_MS = 120_000;

const MATCHES = "POST /v3/resource_matches";
const MODE_WARNING = expect.stringMatching(/^Files were matched with a mode/);

/** Contents that lie in the first request, in the last and in those between, new in each test. */
const SHARED = 30;
/** Modes of a content in the first request and in the others: the Cloud Controller takes no 0444. */
const MODES = [
  [0o644, 0o644],
  [0o444, 0o644],
  [0o644, 0o444],
] as const;

let harness: Harness;
let app: LargeApp;
let round = 0;

beforeAll(async () => {
  // Snapshot and changes are what a push meets here; a key takes a local KV longer than it does KV.
  const variables = { LOOKUP_DEADLINE_MS: String(DEADLINE_MS), KEYS_PER_DAY: "0" };
  harness = await startHarness({ title: "push sessions", bucket: false, variables });
  app = await createLargeApp(0);
}, START_TIMEOUT_MS);
afterAll(async () => {
  await harness.stop();
  await app.remove();
}, START_TIMEOUT_MS);

const inflict = (fault: Fault) => harness.command("PUT", "fault", fault);
const inflictOnCloudController = (fault: CloudControllerFault) =>
  harness.foundation.cloudController.faults.set({ [MATCHES]: fault });
async function well(): Promise<void> {
  harness.foundation.cloudController.faults.set({});
  await harness.command("DELETE", "fault");
}

/** What befalls one request of a push, or what happens between it and the next. */
interface Misfortune {
  /** The request that it befalls, counted from 1, or from -1 backwards. */
  at: number;
  cloudController?: CloudControllerFault;
  worker?: Fault;
  /** Once it is answered. */
  afterwards?: (shared: readonly Resource[], user: string) => Promise<unknown>;
}

const replaceIsolate = async (_: unknown, user: string) => {
  await harness.command("DELETE", "isolate");
  await harness.command("DELETE", `session/${user}`);
};
/** The cache learns what it did not know. */
const publish = async (shared: readonly Resource[]) => {
  await harness.report({ present: shared });
  await harness.publishSnapshot();
};
/** An isolate that knows nothing needs KV. */
const OF_KV: Fault = { kind: "fail", operations: ["get"] };

/** What befalls the smaller app. */
const SINGLE: [string, Misfortune[]][] = [
  ["500 to the first", [{ at: 1, cloudController: { status: 500 } }]],
  [
    "no answer to the first, then a snapshot",
    [{ at: 1, cloudController: { hang: true }, afterwards: publish }],
  ],
  [
    "a cut in the first, then another isolate",
    [{ at: 1, cloudController: { cut: "before" }, afterwards: replaceIsolate }],
  ],
  ["429 to the last", [{ at: -1, cloudController: { status: 429 } }]],
  [
    "half an answer to the last, and KV fails for it",
    [{ at: -1, cloudController: { malformed: true }, worker: OF_KV }],
  ],
];
const COMBINED: [string, Misfortune[]][] = [
  [
    "429 to the first, then a snapshot; a cut in the second, then another isolate; the last without KV and answer",
    [
      { at: 1, cloudController: { status: 429 }, afterwards: publish },
      { at: 2, cloudController: { cut: "during" }, afterwards: replaceIsolate },
      { at: 3, cloudController: { hang: true }, worker: OF_KV },
    ],
  ],
];

/** With EVERY_FAULT=true, which takes some minutes: all that may befall the first request or the last, of each app. */
const EVERY: [string, Misfortune[]][] = [
  ...([1, -1] as const).flatMap((at) => {
    const which = at === 1 ? "the first" : "the last";
    return [
      ...matchFaults(DEADLINE_MS).map(([name, cloudController]): [string, Misfortune[]] => [
        `${name} to ${which}`,
        [{ at, cloudController }],
      ]),
      [`KV fails for ${which}`, [{ at, worker: OF_KV }]] as [string, Misfortune[]],
    ];
  }),
  ["another isolate after the first", [{ at: 1, afterwards: replaceIsolate }]],
  ["a snapshot after the first", [{ at: 1, afterwards: publish }]],
];

describe.each([
  [5_600, 2],
  [10_600, 3],
])("an app of %i files, asked for in %i requests", (files, requests) => {
  let present: Resource[];
  let shared: Resource[];
  /** A folder in each request. */
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
  }, PUSHED_MAX_MS);

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

  /** Each push is of another user: what is decided for one binds no other. */
  async function push(label: string, misfortunes: readonly Misfortune[]) {
    const user = `user-${round}`;
    const befallen = (request: number) =>
      misfortunes.filter(({ at }) => (at > 0 ? at : requests + 1 + at) === request);
    const begin = async (request: number) => {
      for (const { cloudController, worker } of befallen(request)) {
        if (cloudController) inflictOnCloudController(cloudController);
        if (!worker) continue;
        await inflict(worker);
        await harness.command("DELETE", "isolate");
      }
    };
    await begin(1);
    try {
      return await harness.push(app.path, `${files}: ${label}`, {
        user,
        async onResponse(answered) {
          await well();
          for (const { afterwards } of befallen(answered)) await afterwards?.(shared, user);
          await begin(answered + 1);
        },
      });
    } finally {
      await well();
    }
  }

  const isEvery = process.env.EVERY_FAULT === "true";

  // Of three requests one is neither the first nor the last.
  const slowly = it.runIf(requests === 3 || isEvery);
  slowly("a Cloud Controller that takes 12 ms a file", { timeout: PUSHED_MAX_MS }, async () => {
    await harness.report({ removed: present.slice(0, UNKNOWN).map(({ sha1 }) => sha1) });
    await harness.waitUntilPublished();
    const slow = { resource_ms: MS_PER_FILE };
    const always = Array.from({ length: requests }, (_, index) => ({ at: index + 1, cloudController: slow }));
    const pushed = await push("12 ms a file", always).finally(async () => {
      await harness.report({ present });
      await harness.waitUntilPublished();
    });
    expect(pushed.decided).toBeGreaterThanOrEqual(SHARED * (requests - 1));
    // The deadline has come in the first request.
    expect(pushed.uploadedFiles).toBeGreaterThan(UNKNOWN / 10);
  });

  const usual = requests === 2 ? SINGLE : COMBINED;
  it.each<[string, Misfortune[]]>(isEvery ? [...usual, ...EVERY] : usual)(
    "%s",
    { timeout: PUSHED_MAX_MS },
    async (label, misfortunes) => {
      const isDenied = misfortunes.some(({ at, cloudController }) => at === 1 && cloudController);
      // Where misfortunes are combined the cache knows the half of them from the beginning.
      const isCombined = misfortunes.length > 1;
      const claimed = isCombined ? SHARED / 2 : isDenied ? 0 : SHARED;
      if (isCombined) {
        await harness.report({ present: shared.slice(0, claimed) });
        await harness.waitUntilPublished();
      }
      const pushed = await push(label, misfortunes);
      expect(pushed.decided).toBeGreaterThanOrEqual(SHARED * (requests - 1));
      if (claimed > 0) expect(pushed.warnings).toContainEqual(MODE_WARNING);
      expect(pushed.uploadedFiles).toBeGreaterThanOrEqual((SHARED - claimed) * requests);
    },
  );
});
