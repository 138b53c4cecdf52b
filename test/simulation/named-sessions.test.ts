import { describe, expect, it } from "vitest";
import type { App, Client, Operation } from "./schedule.ts";
import {
  add,
  MINUTE,
  outcomesOf,
  POOL,
  push,
  pushesOf,
  put,
  REPORTED,
  remove,
  requestFaults,
  SECOND,
  SHARED,
} from "./schedule-fixtures.ts";

/** One content in every request: each of the later requests could contradict the first. */
const THREE: App = [
  [[0, "0644"]],
  [
    [0, "0644"],
    [1, "0644"],
  ],
  [
    [0, "0644"],
    [2, "0644"],
  ],
];
const SMALL: App = [[[3, "0644"]]];
/** Shares a content with `SHARED`. */
const OTHER: App = [
  [
    [0, "0644"],
    [3, "0644"],
  ],
  [[1, "0644"]],
];
/** The first request decides "no match", and the Cloud Controller would match the files in the others. */
const NO_MATCH_FIRST = requestFaults(0, "cloud-controller-error");
const NO_MATCH_KEPT = { outcome: "success", uploaded: ["0/0", "1/0", "2/0"] };
const GAP_MS = 70 * SECOND;

describe("one decision per content per push", () => {
  it.each([1, 2, 3].flatMap((event) => [0, 1].map((index) => [event, index] as const)))(
    "keeps the first decision when the session object restarts in its event %i, in the pause after request %i (R3.3)",
    async (afterEvents, index) => {
      const crash: Operation = {
        at: MINUTE + index * GAP_MS + 30 * SECOND,
        type: "crash-sessions",
        caller: "ci",
        afterEvents,
        writtenShare: 1,
        areMessagesSent: false,
      };
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gapMs: GAP_MS }), crash];
      const [pushed] = await pushesOf(schedule, { apps: [THREE] });
      expect(pushed).toMatchObject(NO_MATCH_KEPT);
    },
  );

  it.each([1, 2])(
    "keeps the first decision when the session object's reply to request %i is lost (R3.4)",
    async (index) => {
      const schedule = [...POOL, ...NO_MATCH_FIRST, ...requestFaults(index, "sessions-reply-lost")];
      const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gapMs: GAP_MS })], { apps: [THREE] });
      expect(pushed).toMatchObject(NO_MATCH_KEPT);
    },
  );

  it.each([600, 1_000, 1_500])(
    "keeps the first decision when the session object is %i ms slower and another isolate responds (R3.1)",
    async (slowMs) => {
      const slow: Operation = {
        at: MINUTE + 10 * SECOND,
        type: "session-calls",
        caller: "ci",
        how: "slow",
        slowMs,
        share: 1,
        durationMs: MINUTE,
      };
      const schedule = [...POOL, ...NO_MATCH_FIRST, ...requestFaults(1, "other-isolate"), slow];
      const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gapMs: 20 * SECOND })]);
      expect(pushed).toMatchObject({ outcome: "success", uploaded: ["0/0", "0/1", "1/0"] });
    },
  );

  it("keeps the first decision in a push of nine requests that takes seven minutes (R3.5)", async () => {
    const between: App = Array.from({ length: 7 }, () => [[1, "0644"]]);
    const app: App = [[[0, "0644"]], ...between, [[0, "0644"]]];
    const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gapMs: 52 * SECOND })];
    const [pushed] = await pushesOf(schedule, { apps: [app] });
    expect(pushed).toMatchObject({ outcome: "success", uploaded: ["0/0", "8/0"] });
  });

  it.each([60, 75, 90])(
    "keeps the first decision when another push of the user ends in a pause of %i s (R3.5)",
    async (seconds) => {
      const apps: App[] = [[[[0, "0644"]], [[0, "0644"]]], SMALL];
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gapMs: seconds * SECOND })];
      const pushes = await pushesOf([...schedule, push(MINUTE + 20 * SECOND, 2, { apps: [1] })], { apps });
      expect(pushes.find(({ name }) => name === "1.1")).toMatchObject({
        outcome: "success",
        uploaded: ["0/0", "1/0"],
      });
    },
  );

  it.each([60, 75, 90])(
    "keeps the first decision when two requests have the same contents, %i s apart (R3.1)",
    async (seconds) => {
      const app: App = [[[0, "0644"]], [[0, "0644"]], [[1, "0644"]]];
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gapMs: seconds * SECOND })];
      const [pushed] = await pushesOf(schedule, { apps: [app] });
      expect(pushed).toMatchObject({ outcome: "success", uploaded: ["0/0", "1/0"] });
    },
  );

  it.each<Client>(["identified", "pinned", "id-removed", "old-cf", "old-cf-traced"])(
    "keeps the first decision for the client %s (R3.1, R3.2)",
    async (client) => {
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { client, gapMs: 20 * SECOND })];
      const [pushed] = await pushesOf(schedule, { apps: [THREE] });
      expect(pushed).toMatchObject(NO_MATCH_KEPT);
    },
  );

  it.each<Client>(["identified", "id-removed"])(
    "keeps the first decision in a session that is older than 30 minutes, for the client %s (R3.5)",
    async (client) => {
      // Earlier pushes keep an unidentified session alive.
      const earlier = Array.from({ length: 8 }, (_, index) =>
        push(MINUTE + index * 4 * MINUTE, 10 + index, { client, apps: [1] }),
      );
      const last = push(30 * MINUTE + 10 * SECOND, 1, { client, gapMs: 55 * SECOND });
      const apps: App[] = [THREE, [[[3, "0644"]], [[1, "0644"]]]];
      const pushes = await pushesOf([...POOL, ...earlier, ...NO_MATCH_FIRST, last], { apps });
      expect(pushes.at(-1)).toMatchObject({ name: "1.1", uploaded: ["0/0", "1/0", "2/0"] });
    },
  );

  it("keeps a match of an unidentified session for three minutes after the file was removed (R3.2)", async () => {
    const first = push(5 * MINUTE, 1, { client: "old-cf", gapMs: 75 * SECOND });
    const schedule = [...POOL, REPORTED, remove(5 * MINUTE + SECOND), first];
    const [pushed] = await pushesOf(schedule, { apps: [THREE], hasCloudController: false });
    expect(pushed).toMatchObject({
      outcome: "file-missing",
      matched: { "0/0": "0644", "1/0": "0644", "2/0": "0644" },
    });
  });

  it("keeps the decision that an isolate made while the session object was unreachable (R3.6)", async () => {
    const lost: Operation = {
      at: MINUTE - SECOND,
      type: "session-calls",
      caller: "ci",
      how: "lost",
      share: 1,
      durationMs: 30 * SECOND,
    };
    const schedule = [...POOL, ...NO_MATCH_FIRST, lost, push(MINUTE, 1, { gapMs: GAP_MS })];
    const [pushed] = await pushesOf(schedule, { apps: [THREE] });
    expect(pushed).toMatchObject(NO_MATCH_KEPT);
  });

  it("keeps the decisions of an isolate when the session object becomes unreachable (R3.6)", async () => {
    const hang: Operation = {
      at: MINUTE + 30 * SECOND,
      type: "session-calls",
      caller: "ci",
      how: "hang",
      share: 1,
      durationMs: 10 * MINUTE,
    };
    const schedule = [...POOL, ...NO_MATCH_FIRST, hang, push(MINUTE, 1, { gapMs: GAP_MS })];
    const [pushed] = await pushesOf(schedule, { apps: [THREE] });
    expect(pushed).toMatchObject(NO_MATCH_KEPT);
  });

  it("keeps the first decision while new versions are deployed (R3.1)", async () => {
    const deployments = [...requestFaults(1, "deploy"), ...requestFaults(2, "deploy")];
    const schedule = [...POOL, ...NO_MATCH_FIRST, ...deployments, push(MINUTE, 1, { gapMs: 20 * SECOND })];
    const [pushed] = await pushesOf(schedule, { apps: [THREE] });
    expect(pushed).toMatchObject(NO_MATCH_KEPT);
  });
});

it.each([2, 30, 60].flatMap((afterS) => [5, 20, 60].map((pauseS) => [afterS, pauseS] as const)))(
  "succeeds in the retry of a push that shares a lost file with another push of the user, started %i s later, retried after %i s (R1.7)",
  async (afterS, pauseS) => {
    const lost: Operation = { at: 5 * MINUTE, type: "lose", how: "some", lostFiles: [0] };
    const first = push(6 * MINUTE, 1, { gapMs: 90 * SECOND, uploadMs: 60 * SECOND });
    const second = push(6 * MINUTE + afterS * SECOND, 2, {
      apps: [1],
      isolate: 1,
      maxRuns: 2,
      retryPauseMs: pauseS * SECOND,
    });
    const pushes = await pushesOf([...POOL, REPORTED, lost, first, second], { apps: [SHARED, OTHER] });
    expect(outcomesOf(pushes).findLast((each) => each.startsWith("2."))).toMatch("success");
  },
);

describe("another push of the same user", () => {
  const TWO_APPS = { hasCloudController: false, apps: [SHARED, OTHER] };

  it.each([3.2, 4, 4.9])(
    "does not match a file %d minutes after its removal was reported (R1.1)",
    async (minutes) => {
      const first = push(5 * MINUTE - 10 * SECOND, 1);
      const second = push(5 * MINUTE + 10 * SECOND + minutes * MINUTE, 2, { isolate: 1, apps: [1] });
      const pushes = await pushesOf([...POOL, REPORTED, first, remove(5 * MINUTE), second], TWO_APPS);
      expect(outcomesOf(pushes)).toEqual(["1.1 success", "2.1 success"]);
    },
  );

  it.each<Client>(["id-removed", "old-cf-traced"])(
    "does not match a file three minutes after its removal was reported, for the client %s (R3.2)",
    async (client) => {
      const first = push(5 * MINUTE - 10 * SECOND, 1, { client });
      const second = push(8 * MINUTE + 15 * SECOND, 2, { client, isolate: 1, apps: [1] });
      const pushes = await pushesOf([...POOL, REPORTED, first, remove(5 * MINUTE), second], TWO_APPS);
      expect(outcomesOf(pushes)).toEqual(["1.1 success", "2.1 success"]);
    },
  );

  it("does not match a file that was removed while the cache is suspended, in an unidentified session (R1.1)", async () => {
    const files = [...Array(12).keys()];
    const schedule: Operation[] = [
      ...files.map((file) => put(0, file)),
      add(0, files),
      push(5 * MINUTE - 10 * SECOND, 1, { client: "old-cf" }),
      remove(5 * MINUTE),
      { at: 6 * MINUTE, type: "lose", how: "wipe" },
      push(6 * MINUTE + 20 * SECOND, 2, { caller: "ann", apps: [1] }),
      push(8 * MINUTE + 15 * SECOND, 3, { client: "old-cf", apps: [2] }),
    ];
    const eleven: App = [files.slice(1).map((file) => [file, "0644"] as const)];
    const apps: App[] = [SHARED, eleven, [[[0, "0644"]], [[3, "0644"]]]];
    const pushes = await pushesOf(schedule, { files: 12, apps });
    expect(outcomesOf(pushes)).toEqual(["1.1 success", "2.1 file-missing", "3.1 success"]);
  });

  it.each([5, 30, 50])(
    "matches the files that another push of the user uploaded %i s ago",
    async (seconds) => {
      const first = push(MINUTE, 1, { gapMs: SECOND, uploadMs: 5 * SECOND });
      const pushes = await pushesOf([first, push(MINUTE + 8 * SECOND + seconds * SECOND, 2)]);
      expect(pushes.map(({ uploaded }) => uploaded)).toEqual([["0/0", "0/1", "1/0", "1/1"], []]);
    },
  );
});

describe("a request that is no retry", () => {
  it.each([0, 1, 2])(
    "does not verify a request whose reply %i of the session object is lost (R3.4)",
    async (index) => {
      const schedule = [...POOL, REPORTED, ...requestFaults(index, "sessions-reply-lost")];
      const [pushed] = await pushesOf([...schedule, push(5 * MINUTE, 1)], { apps: [THREE] });
      expect(pushed).toMatchObject({ outcome: "success", uploaded: [] });
    },
  );

  it("does not verify a request with the same contents as another one and other paths", async () => {
    const app: App = [[[0, "0644"]], [[0, "0644"]], [[1, "0644"]]];
    const [pushed] = await pushesOf([...POOL, REPORTED, push(5 * MINUTE, 1)], { apps: [app] });
    expect(pushed).toMatchObject({ outcome: "success", uploaded: [] });
  });
});

describe("the session that unidentified requests share", () => {
  it.each<Client>(["id-removed", "old-cf", "old-cf-traced"])(
    "ends an unidentified session five minutes after its last request of 5,000, for the client %s (R3.2)",
    async (client) => {
      const first = push(MINUTE, 1, { client, uploadMs: MINUTE });
      const later = [3, 7].map((minutes, index) => push(minutes * MINUTE, 2 + index, { client, apps: [1] }));
      const apps: App[] = [SHARED, SHARED.slice(1)];
      const schedule = [...POOL, add(MINUTE, [0, 1, 2]), first, ...later];
      const pushes = await pushesOf(schedule, { apps, hasCloudController: false });
      expect(pushes.map(({ uploaded }) => uploaded)).toEqual([["0/0", "0/1", "1/0", "1/1"], ["0/0"], []]);
    },
  );

  it("keeps a match in the last request of a push while the file is rejected for another push (R3.2)", async () => {
    const hang = requestFaults(2, "cloud-controller-hang");
    const first = push(MINUTE, 1, { client: "old-cf", gapMs: SECOND });
    const other = push(MINUTE + 6 * SECOND, 2, { client: "old-cf", isolate: 1 });
    const removed = remove(MINUTE + 4 * SECOND, MINUTE);
    const pushes = await pushesOf([...POOL, ...hang, first, removed, other], { apps: [THREE] });
    expect(pushes.map(({ name, uploaded }) => [name, ...uploaded])).toEqual([
      ["2.1", "0/0", "1/0", "2/0"],
      ["1.1", "2/1"],
    ]);
  });
});

it.each<[string, Operation[]]>([
  ["warm", [{ at: 9 * MINUTE - 1, type: "kv-manifest-miss", place: 1 }]],
  ["new", requestFaults(0, "manifest-miss")],
])("matches no removed file in a %s isolate when KV returns no manifest once (R1.2)", async (_, misses) => {
  const schedule = [...POOL, REPORTED, push(4 * MINUTE, 2), remove(5 * MINUTE), push(9 * MINUTE, 1)];
  const pushes = await pushesOf([...schedule, ...misses], { hasCloudController: false });
  expect(outcomesOf(pushes)).toEqual(["2.1 success", "1.1 success"]);
});

it("delays a response by at most two seconds if the session object hangs (R2.2)", async () => {
  const [pushed] = await pushesOf([...POOL, ...requestFaults(1, "sessions-hang"), push(MINUTE, 1)]);
  expect(pushed?.outcome).toBe("success");
});
