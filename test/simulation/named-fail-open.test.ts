import { describe, expect, it } from "vitest";
import type { Client, Operation, RequestFault, Settings } from "./schedule.ts";
import {
  MINUTE,
  matchesOf,
  outcomesOf,
  POOL,
  PUSH_SETTINGS,
  push,
  pushesOf,
  REPORTED,
  request,
  requestFaults,
  SECOND,
} from "./schedule-fixtures.ts";

/** The cache matches files that the pool has lost. Only if the Cloud Controller responds, a push uploads all files. */
const STALE_CACHE: Operation[] = [...POOL, REPORTED, { at: 5 * MINUTE, type: "lose", how: "wipe" }];
const LATER = 5 * MINUTE + 10 * SECOND;
const FROM_CLOUD_CONTROLLER = { outcome: "success", matched: {}, uploaded: ["0/0", "0/1", "1/0", "1/1"] };
const FROM_CACHE = { outcome: "file-missing", uploaded: [] };

async function pushWith(operations: Operation[], settings?: Partial<Settings>) {
  const pushes = await pushesOf([...STALE_CACHE, ...operations, push(LATER, 1)], settings);
  return pushes.find(({ name }) => name === "1.1");
}

describe("an isolate that fails in the first request of a push", () => {
  it.each<RequestFault>(["in-authentication", "before-session", "uaa-error", "uaa-hang"])(
    "lets the Cloud Controller respond to it and to the next request, after the failure %s (R2.6, R3.8)",
    async (failure) => {
      expect(await pushWith(requestFaults(0, failure))).toMatchObject(FROM_CLOUD_CONTROLLER);
    },
  );

  it("matches resources in the next request if the Cloud Controller did not respond to the first", async () => {
    const failures = requestFaults(0, "before-session", "cloud-controller-error");
    const retries = push(MINUTE, 1, { maxRuns: 2, client: "pinned" });
    const pushes = await pushesOf([...POOL, ...failures, retries]);
    expect(outcomesOf(pushes)).toEqual(["1.1 error", "1.2 success"]);
  });

  it("loses no file of an unidentified push, if the pool does not change", async () => {
    const schedule = [...POOL, ...requestFaults(0, "before-session"), push(MINUTE, 1, { client: "old-cf" })];
    const [pushed] = await pushesOf(schedule);
    expect(pushed).toMatchObject({ outcome: "success", uploaded: [] });
  });
});

describe("an isolate that fails in the last request of a push", () => {
  it.each(
    (["identified", "id-removed"] as const).flatMap((client) =>
      (["before-session", "after-lookup", "after-decision"] as const).map(
        (failure): [Client, RequestFault] => [client, failure],
      ),
    ),
  )(
    "returns 409, and the retry succeeds, for the client %s and the failure %s (R3.8)",
    async (client, failure) => {
      const schedule = [...POOL, ...requestFaults(1, failure), push(MINUTE, 1, { client, maxRuns: 2 })];
      const pushes = await pushesOf(schedule);
      expect(outcomesOf(pushes)).toEqual(["1.1 push-again", "1.2 success"]);
    },
  );

  it("returns 409 if the session object has returned the decisions of another isolate (R3.8)", async () => {
    const failures = requestFaults(1, "other-isolate", "after-decision");
    const pushes = await pushesOf([...POOL, ...failures, push(MINUTE, 1, { maxRuns: 2 })]);
    expect(outcomesOf(pushes)).toEqual(["1.1 push-again", "1.2 success"]);
  });
});

it.each<[string, Operation[]]>([
  ["an isolate throws", requestFaults(1, "other-isolate", "before-session")],
  [
    "a wrong setting is deployed",
    [{ at: MINUTE + 10 * SECOND, type: "misconfigure", overlapMs: 0, durationMs: MINUTE }],
  ],
])("may lose a file if %s after another isolate has decided: a documented limit", async (_, failure) => {
  const schedule = [...POOL, ...requestFaults(0, "cloud-controller-error"), ...failure];
  const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gapMs: 20 * SECOND })]);
  // The file 0/0 is neither matched nor uploaded.
  expect(pushed).toMatchObject({
    outcome: "success",
    matched: { "1/0": "0644", "1/1": "0644" },
    uploaded: ["0/1"],
  });
});

it("returns 409 if an isolate throws after it has stored the decisions of the first request (R3.8)", async () => {
  const schedule = [...POOL, ...requestFaults(0, "after-decision"), push(MINUTE, 1, { maxRuns: 2 })];
  expect(outcomesOf(await pushesOf(schedule))).toEqual(["1.1 push-again", "1.2 success"]);
});

it("lets the Cloud Controller respond while a setting is wrong (R2.6)", async () => {
  const wrong: Operation = { at: LATER - SECOND, type: "misconfigure", overlapMs: 0, durationMs: MINUTE };
  expect(await pushWith([wrong])).toMatchObject(FROM_CLOUD_CONTROLLER);
});

describe("while UAA is down", () => {
  const down = { at: 5 * MINUTE, type: "uaa", how: "error", durationMs: MINUTE } as const;

  it("lets the Cloud Controller respond if the isolate has no keys (R2.6)", async () => {
    expect(await pushWith([down])).toMatchObject(FROM_CLOUD_CONTROLLER);
  });

  it("matches resources if the isolate has UAA's keys", async () => {
    expect(await pushWith([push(4 * MINUTE, 2, { caller: "ann" }), down])).toMatchObject(FROM_CACHE);
  });

  it("lets the Cloud Controller respond to each of many requests in four seconds if UAA hangs (R2.6)", async () => {
    const hangs: Operation = { ...down, how: "hang" };
    const requests = Array.from({ length: 10 }, (_, index) => request(LATER + 3 * index));
    const matches = await matchesOf([...POOL, hangs, ...requests], PUSH_SETTINGS);
    expect(matches).toEqual(requests.map(() => [0]));
  });
});

it.each<RequestFault>(["before-session", "uaa-error"])(
  "fails the push without a Cloud Controller, after the failure %s",
  async (failure) => {
    const schedule = [
      ...POOL,
      ...requestFaults(0, failure),
      push(MINUTE, 1, { maxRuns: 2, retryPauseMs: 2 * SECOND }),
    ];
    const pushes = await pushesOf(schedule, { hasCloudController: false });
    expect(outcomesOf(pushes)).toEqual(["1.1 error", "1.2 success"]);
  },
);

it.each([
  ["lets the Cloud Controller respond to", 20, FROM_CLOUD_CONTROLLER],
  ["verifies", 40, FROM_CACHE],
])(
  "%s a token with a new key of UAA %i s after an isolate has read the keys (R2.6)",
  async (_, seconds, expected) => {
    const readAt = LATER - seconds * SECOND;
    const keys: Operation[] = [push(readAt, 2, { caller: "ann" }), { at: LATER - SECOND, type: "uaa-key" }];
    expect(await pushWith(keys)).toMatchObject(expected);
  },
);
