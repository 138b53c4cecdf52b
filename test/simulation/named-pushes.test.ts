import { describe, expect, it } from "vitest";
import {
  endings,
  MINUTE,
  misfortunes,
  POOL,
  push,
  pushesOf,
  REPORTED,
  SECOND,
  SETTINGS,
  SHARED,
} from "./push-schedules.ts";
import type { App, Misfortune, Operation } from "./schedule.ts";

const WIPED: Operation = { at: 5 * MINUTE, do: "lose", how: "wipe" };

describe("a content of the first request and the last gets one decision", () => {
  const NO_FIRST = { ending: "well", matched: { "1/1": "0644" }, uploaded: ["0/0", "0/1", "1/0"] };
  const NO_LAST = {
    ending: "well",
    matched: { "0/0": "0644", "0/1": "0644", "1/0": "0644" },
    uploaded: ["1/1"],
  };

  it.each<[string, Misfortune, number, object]>([
    ["when the Cloud Controller misses the deadline of the first", "cloud-controller-hang", 0, NO_FIRST],
    ["when the Cloud Controller misses the deadline of the last", "cloud-controller-hang", 1, NO_LAST],
    ["when the Cloud Controller answers 500 to the first", "cloud-controller-error", 0, NO_FIRST],
    ["when the Cloud Controller answers 500 to the last", "cloud-controller-error", 1, NO_LAST],
    ["when the Cloud Controller's answer to the first is cut off", "cloud-controller-cut", 0, NO_FIRST],
  ])("%s", async (_, what, request, outcome) => {
    const [pushed] = await pushesOf([...POOL, ...misfortunes(request, what), push(MINUTE, 1)]);
    expect(pushed).toMatchObject(outcome);
  });

  it.each<[string, Misfortune, number, object]>([
    ["when KV fails for the first", "kv-fail", 0, NO_FIRST],
    ["when KV hangs for the first", "kv-hang", 0, NO_FIRST],
    ["when KV fails for the last", "kv-fail", 1, NO_LAST],
  ])("%s, and there is no Cloud Controller", async (_, what, request, outcome) => {
    const schedule = [...POOL, REPORTED, ...misfortunes(request, what), push(4 * MINUTE, 1)];
    const [pushed] = await pushesOf(schedule, { hasCloudController: false });
    expect(pushed).toMatchObject(outcome);
  });

  it.each<[string, Misfortune[]]>([
    ["when a key and a delta", ["learned"]],
    ["when a snapshot", ["learned", "publication"]],
    ["when a snapshot, for another isolate,", ["learned", "publication", "isolate"]],
    ["when a snapshot, for another place,", ["learned", "publication", "elsewhere"]],
    [
      "when a snapshot, and a new instance of the session object,",
      ["learned", "publication", "isolate", "sessions-restart"],
    ],
  ])("%s appear between the two", async (_, what) => {
    const app: App = [...SHARED.slice(0, 1), [], ...SHARED.slice(1)];
    // Between the middle request, which asks for nothing that could match, and the last, all have seen what is new.
    const schedule = [...POOL, ...misfortunes(1, ...what), push(MINUTE, 1, { gap: 95 * SECOND })];
    const [pushed] = await pushesOf(schedule, { hasCloudController: false, apps: [app] });
    expect(pushed).toMatchObject({
      ending: "well",
      matched: { "2/1": "0644" },
      uploaded: ["0/0", "0/1", "2/0"],
    });
  });

  it.each([
    ["0444", "0644", {}, ["0/0", "1/0"]],
    ["0644", "0444", { "0/0": "0644", "1/0": "0644" }, []],
    ["0644", "100444", { "0/0": "0644", "1/0": "100644" }, []],
  ])("when its mode is %s in the first and %s in the last", async (first, last, matched, uploaded) => {
    const apps: App[] = [[[[0, first]], [[0, last]]]];
    const [pushed] = await pushesOf([...POOL, push(MINUTE, 1)], { apps });
    expect(pushed).toMatchObject({ ending: "well", matched, uploaded });
  });

  it.each(Array.from({ length: 6 }, (_, seed) => `late ${seed}`))(
    "when the Cloud Controller keeps a request waiting until the cached manifest no longer counts (%s)",
    async (seed) => {
      const variables = { ...SETTINGS.variables, LOOKUP_DEADLINE_MS: "60000" };
      const known: Operation = { at: 0, do: "add", files: [0], tellsAfter: 0, clock: 0 };
      for (const request of [0, 1]) {
        const schedule = [
          ...POOL,
          known,
          ...misfortunes(request, "cloud-controller-hang"),
          push(4 * MINUTE, 1),
        ];
        const [pushed] = await pushesOf(schedule, { seed, variables });
        expect(pushed).toMatchObject({ ending: "well" });
      }
    },
  );
});

describe("a pool that was wiped", () => {
  const known = [...POOL, REPORTED, WIPED];
  const gone = 5 * MINUTE + 10 * SECOND;

  it.each([0, 20 * SECOND, 2 * MINUTE, 8 * MINUTE])(
    "fails one push, and not its retry %i ms later",
    async (pause) => {
      const pushes = await pushesOf([...known, push(gone, 1, { tries: 2, pause })]);
      expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
      expect(pushes[1]).toMatchObject({ matched: {}, uploaded: ["0/0", "0/1", "1/0", "1/1"] });
    },
  );

  it("fails one push of three requests of which the last has no candidate", async () => {
    const apps: App[] = [[[[0, "0644"]], [[1, "0644"]], [[9, "0644"]]]];
    const pushes = await pushesOf([...known, push(gone, 1, { tries: 2 })], { apps });
    expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
  });

  it("fails no second push in another isolate, nor a third one in the isolate that had matched its files", async () => {
    const again = [push(gone + 20 * SECOND, 2, { isolate: 1 }), push(gone + 40 * SECOND, 3)];
    const pushes = await pushesOf([...known, push(gone, 1), ...again]);
    expect(endings(pushes)).toEqual(["1.1 gone", "2.1 well", "3.1 well"]);
  });

  it.each([2, 8])(
    "fails one push of an app of %i files, and not the next one of another user",
    async (count) => {
      const files = [...Array(count).keys()];
      const app: App = [files.map((file) => [file, "0644"] as const)];
      const schedule: Operation[] = [
        ...files.map((file): Operation => ({ at: 0, do: "put", file })),
        { at: 0, do: "add", files, tellsAfter: 0, clock: 0 },
        WIPED,
        ...[push(gone, 1), push(gone + 90 * SECOND, 2, { caller: "ann", place: 0 })],
      ];
      const pushes = await pushesOf(schedule, { files: count, apps: [app] });
      expect(endings(pushes)).toEqual(["1.1 gone", "2.1 well"]);
    },
  );

  it("loses no file of a push whose matches are rejected while another user uploads the files", async () => {
    // Both requests of 5,000 are one question.
    const apps: App[] = [[[[0, "0644"]], [[0, "0644"]], [[3, "0644"]]], SHARED];
    const other = push(gone + 10 * SECOND, 2, {
      apps: [1],
      caller: "ann",
      place: 0,
      tries: 2,
      pause: 20 * SECOND,
    });
    const pushes = await pushesOf([...known, push(gone, 1, { uploads: 80 * SECOND }), other], { apps });
    expect(endings(pushes)).toContain("2.2 well");
    expect(pushes.find(({ name }) => name === "1.1")?.matched).toEqual({ "0/0": "0644", "1/0": "0644" });
  });

  it("loses no file of two pushes of one app by one user at once", async () => {
    const first = push(gone, 1, { gap: 15 * SECOND, tries: 2, pause: 20 * SECOND });
    const second = push(gone + 2 * SECOND, 2, { isolate: 1, tries: 2, pause: 90 * SECOND });
    expect(endings(await pushesOf([...known, first, second]))).toEqual(["2.1 gone", "1.1 well", "2.2 well"]);
  });

  it.each(Array.from({ length: 6 }, (_, seed) => `beside ${seed}`))(
    "loses no file of a push that gets its response while another of the same app waits for its own (%s)",
    async (seed) => {
      const some: Operation = { at: 0, do: "add", files: [0], tellsAfter: 0, clock: 0 };
      const schedule = [...POOL, some, WIPED];
      const first = push(gone, 1, { gap: 5 * SECOND, uploads: 20 * SECOND });
      for (const isolate of [0, 1]) {
        const second = push(gone + 100, 2, { isolate, tries: 2, pause: SECOND });
        const pushes = await pushesOf([...schedule, first, second], { seed });
        expect(pushes.length).toBeGreaterThan(1);
      }
    },
  );

  it("loses no file of a push during which another of the same app has failed and was retried", async () => {
    const first = push(gone, 1, { gap: 20 * SECOND, uploads: 20 * SECOND });
    const second = push(gone + 2 * SECOND, 2, { isolate: 1, tries: 2, pause: 3 * SECOND });
    const pushes = await pushesOf([...known, first, second]);
    expect(pushes.find(({ name }) => name === "1.1")?.matched).toMatchObject({
      "0/0": "0644",
      "1/0": "0644",
    });
  });

  it("restored from an older copy fails one push of the files that came later", async () => {
    const schedule = [
      ...[0, 1, 2].map((file): Operation => ({ at: file * MINUTE, do: "put", file })),
      { ...REPORTED, at: 3 * MINUTE } as Operation,
      { at: 10 * MINUTE, do: "lose", how: "restore", since: 9.5 * MINUTE } as const,
      push(10 * MINUTE + SECOND, 1, { tries: 2 }),
    ];
    const pushes = await pushesOf(schedule);
    expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
    expect(pushes[1]).toMatchObject({ matched: { "0/0": "0644", "1/0": "0644" }, uploaded: ["0/1", "1/1"] });
  });
});
