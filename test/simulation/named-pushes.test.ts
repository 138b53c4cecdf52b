import { describe, expect, it } from "vitest";
import type { App, Operation, RequestFault } from "./schedule.ts";
import {
  add,
  MINUTE,
  outcomesOf,
  POOL,
  PUSH_SETTINGS,
  push,
  pushesOf,
  put,
  REPORTED,
  requestFaults,
  SECOND,
  SHARED,
} from "./schedule-fixtures.ts";

const seeds = (name: string, count: number) => Array.from({ length: count }, (_, seed) => `${name} ${seed}`);

describe("a content in the first and the last request", () => {
  const NO_MATCH = { outcome: "success", matched: { "1/1": "0644" }, uploaded: ["0/0", "0/1", "1/0"] };
  const MATCH = {
    outcome: "success",
    matched: { "0/0": "0644", "0/1": "0644", "1/0": "0644" },
    uploaded: ["1/1"],
  };

  it.each<[string, RequestFault, number, object]>([
    ["the Cloud Controller misses the deadline of the first", "cloud-controller-hang", 0, NO_MATCH],
    ["the Cloud Controller misses the deadline of the last", "cloud-controller-hang", 1, MATCH],
    ["the Cloud Controller responds with 500 to the first", "cloud-controller-error", 0, NO_MATCH],
    ["the Cloud Controller responds with 500 to the last", "cloud-controller-error", 1, MATCH],
    ["the Cloud Controller's response to the first is cut off", "cloud-controller-cut", 0, NO_MATCH],
  ])("keeps one decision for a content of both requests when %s (R3.1)", async (_, what, index, expected) => {
    const [pushed] = await pushesOf([...POOL, ...requestFaults(index, what), push(MINUTE, 1)]);
    expect(pushed).toMatchObject(expected);
  });

  it.each<[string, RequestFault, number, object]>([
    ["KV reads fail during the first", "kv-fail", 0, NO_MATCH],
    ["KV reads hang during the first", "kv-hang", 0, NO_MATCH],
    ["KV reads fail during the last", "kv-fail", 1, MATCH],
  ])(
    "keeps one decision for a content of both requests when %s, without a Cloud Controller (R3.1)",
    async (_, what, index, expected) => {
      const schedule = [...POOL, REPORTED, ...requestFaults(index, what), push(4 * MINUTE, 1)];
      const [pushed] = await pushesOf(schedule, { hasCloudController: false });
      expect(pushed).toMatchObject(expected);
    },
  );

  it.each<[string, RequestFault[]]>([
    ["a delta", ["files-reported"]],
    ["a snapshot", ["files-reported", "snapshot-published"]],
    ["a snapshot, read by a new isolate,", ["files-reported", "snapshot-published", "other-isolate"]],
    ["a snapshot, read in another place,", ["files-reported", "snapshot-published", "other-place"]],
    [
      "a snapshot, read by a new isolate after a restart of the session object,",
      ["files-reported", "snapshot-published", "other-isolate", "sessions-restart"],
    ],
  ])(
    "keeps one decision for a content of both requests when %s with the file is published between the two (R3.1)",
    async (_, faults) => {
      const app: App = [...SHARED.slice(0, 1), [], ...SHARED.slice(1)];
      // The pause after the second request, which has no candidate, is long enough for the publication.
      const schedule = [...POOL, ...requestFaults(1, ...faults), push(MINUTE, 1, { gapMs: 95 * SECOND })];
      const [pushed] = await pushesOf(schedule, { hasCloudController: false, apps: [app] });
      expect(pushed).toMatchObject({
        outcome: "success",
        matched: { "2/1": "0644" },
        uploaded: ["0/0", "0/1", "2/0"],
      });
    },
  );

  it.each([
    ["0444", "0644", {}, ["0/0", "1/0"]],
    ["0644", "0444", { "0/0": "0644", "1/0": "0644" }, []],
    ["0644", "100444", { "0/0": "0644", "1/0": "100644" }, []],
  ])(
    "keeps one decision for a content whose mode is %s in the first request and %s in the last (R1.8)",
    async (first, last, matched, uploaded) => {
      const apps: App[] = [[[[0, first]], [[0, last]]]];
      const [pushed] = await pushesOf([...POOL, push(MINUTE, 1)], { apps });
      expect(pushed).toMatchObject({ outcome: "success", matched, uploaded });
    },
  );

  it.each(seeds("late", 6))(
    "keeps one decision for a content when the cached manifest expires while a request waits for the Cloud Controller (R1.2, %s)",
    async (seed) => {
      const variables = { ...PUSH_SETTINGS.variables, LOOKUP_DEADLINE_MS: "60000" };
      for (const index of [0, 1]) {
        const hang = requestFaults(index, "cloud-controller-hang");
        const [pushed] = await pushesOf([...POOL, add(0), ...hang, push(4 * MINUTE, 1)], { seed, variables });
        expect(pushed).toMatchObject({ outcome: "success" });
      }
    },
  );
});

describe("after the pool was wiped", () => {
  const WIPE: Operation = { at: 5 * MINUTE, type: "lose", how: "wipe" };
  const wiped = [...POOL, REPORTED, WIPE];
  const later = 5 * MINUTE + 10 * SECOND;

  it.each([0, 20 * SECOND, 2 * MINUTE, 8 * MINUTE])(
    "fails a push after the pool was wiped, and succeeds in its retry %i ms later (R1.7)",
    async (retryPauseMs) => {
      const pushes = await pushesOf([...wiped, push(later, 1, { maxRuns: 2, retryPauseMs })]);
      expect(outcomesOf(pushes)).toEqual(["1.1 file-missing", "1.2 success"]);
      expect(pushes[1]).toMatchObject({ matched: {}, uploaded: ["0/0", "0/1", "1/0", "1/1"] });
    },
  );

  it("fails a push whose last request has no candidate after the pool was wiped, and succeeds in its retry (R1.7)", async () => {
    const apps: App[] = [[[[0, "0644"]], [[1, "0644"]], [[9, "0644"]]]];
    const pushes = await pushesOf([...wiped, push(later, 1, { maxRuns: 2 })], { apps });
    expect(outcomesOf(pushes)).toEqual(["1.1 file-missing", "1.2 success"]);
  });

  it("succeeds in a retry in another isolate and in the first isolate after the pool was wiped (R1.7)", async () => {
    const retries = [push(later + 20 * SECOND, 2, { isolate: 1 }), push(later + 40 * SECOND, 3)];
    const pushes = await pushesOf([...wiped, push(later, 1), ...retries]);
    expect(outcomesOf(pushes)).toEqual(["1.1 file-missing", "2.1 success", "3.1 success"]);
  });

  it.each([2, 8])(
    "fails one push of an app of %i files after the pool was wiped, and not the next push of another user (R1.6)",
    async (count) => {
      const files = [...Array(count).keys()];
      const app: App = [files.map((file) => [file, "0644"] as const)];
      const schedule = [
        ...files.map((file) => put(0, file)),
        add(0, files),
        WIPE,
        push(later, 1),
        push(later + 90 * SECOND, 2, { caller: "ann", place: 0 }),
      ];
      const pushes = await pushesOf(schedule, { files: count, apps: [app] });
      expect(outcomesOf(pushes)).toEqual(["1.1 file-missing", "2.1 success"]);
    },
  );

  it.each([10, 60, 150])(
    "fails no push more than three minutes after the pool was wiped, if the operator runs forget %i s into the suspension (R1.6)",
    async (seconds) => {
      const files = [...Array(12).keys()];
      const twelve = files.map((file) => [file, "0644"] as const);
      const apps: App[] = [
        [twelve],
        [twelve.slice(1)],
        [twelve.slice(2)],
        [twelve.slice(3)],
        [twelve.slice(4)],
      ];
      const places = [0, 1].flatMap((place) => [0, 1].map((isolate) => ({ place, isolate })));
      const schedule: Operation[] = [
        ...files.map((file) => put(0, file)),
        add(0, files),
        ...places.map((place, index) => push(later - MINUTE, 11 + index, { ...place, caller: `b${index}` })),
        WIPE,
        push(later, 1),
        { at: later + seconds * SECOND, type: "forget" },
        ...places.map((place, index) =>
          push(later + 200 * SECOND, 2 + index, { ...place, caller: `c${index}`, apps: [1 + index] }),
        ),
      ];
      const pushes = await pushesOf(schedule, { files: 12, apps });
      const outcomes = outcomesOf(pushes);
      expect(outcomes).toContain("1.1 file-missing");
      expect(outcomes).toEqual(
        expect.arrayContaining(["2.1 success", "3.1 success", "4.1 success", "5.1 success"]),
      );
    },
  );

  it("keeps the matches of a push when the Cloud Controller rejects them while another user uploads the files (R3.1)", async () => {
    // The first two requests of the first app are equal.
    const apps: App[] = [[[[0, "0644"]], [[0, "0644"]], [[3, "0644"]]], SHARED];
    const other = push(later + 10 * SECOND, 2, {
      apps: [1],
      caller: "ann",
      place: 0,
      maxRuns: 2,
      retryPauseMs: 20 * SECOND,
    });
    const pushes = await pushesOf([...wiped, push(later, 1, { uploadMs: 80 * SECOND }), other], { apps });
    expect(outcomesOf(pushes)).toContain("2.2 success");
    expect(pushes.find(({ name }) => name === "1.1")?.matched).toEqual({ "0/0": "0644", "1/0": "0644" });
  });

  it("loses no file in two concurrent pushes of one app by one user (R3.1)", async () => {
    const first = push(later, 1, { gapMs: 15 * SECOND, maxRuns: 2, retryPauseMs: 20 * SECOND });
    const second = push(later + 2 * SECOND, 2, { isolate: 1, maxRuns: 2, retryPauseMs: 90 * SECOND });
    expect(outcomesOf(await pushesOf([...wiped, first, second]))).toEqual([
      "2.1 file-missing",
      "1.1 success",
      "2.2 success",
    ]);
  });

  it.each(seeds("concurrent", 6))(
    "loses no file in a push when another push of the same app waits for its response (R3.1, %s)",
    async (seed) => {
      const first = push(later, 1, { gapMs: 5 * SECOND, uploadMs: 20 * SECOND });
      for (const isolate of [0, 1]) {
        const second = push(later + 100, 2, { isolate, maxRuns: 2, retryPauseMs: SECOND });
        const pushes = await pushesOf([...POOL, add(0), WIPE, first, second], { seed });
        expect(pushes.length).toBeGreaterThan(1);
      }
    },
  );

  it("keeps the matches of a push when another push of the same app fails and is retried during it (R3.1)", async () => {
    const first = push(later, 1, { gapMs: 20 * SECOND, uploadMs: 20 * SECOND });
    const second = push(later + 2 * SECOND, 2, { isolate: 1, maxRuns: 2, retryPauseMs: 3 * SECOND });
    const pushes = await pushesOf([...wiped, first, second]);
    expect(pushes.find(({ name }) => name === "1.1")?.matched).toMatchObject({
      "0/0": "0644",
      "1/0": "0644",
    });
  });
});

it("fails one push after the pool was restored from an older copy, and its retry uploads the newer files (R1.7)", async () => {
  const schedule: Operation[] = [
    ...[0, 1, 2].map((file) => put(file * MINUTE, file)),
    add(3 * MINUTE, [0, 1, 2]),
    { at: 10 * MINUTE, type: "lose", how: "restore", ageMs: 9.5 * MINUTE },
    push(10 * MINUTE + SECOND, 1, { maxRuns: 2 }),
  ];
  const pushes = await pushesOf(schedule);
  expect(outcomesOf(pushes)).toEqual(["1.1 file-missing", "1.2 success"]);
  expect(pushes[1]).toMatchObject({ matched: { "0/0": "0644", "1/0": "0644" }, uploaded: ["0/1", "1/1"] });
});
