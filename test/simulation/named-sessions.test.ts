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
import type { App, Client, Operation } from "./schedule.ts";

/** A content in every request, so that each of them may contradict the first. */
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
/** The first request is told "no match" of all, and the Cloud Controller answers the others. */
const NO_MATCH_FIRST = misfortunes(0, "cloud-controller-error");
const PAUSE = 70 * SECOND;

describe("one decision per content per push", () => {
  it.each([1, 2, 3].flatMap((events) => [0, 1].map((request) => [events, request] as const)))(
    "keeps the first decision when the session object is reset in its event %i, in the pause after request %i",
    async (events, request) => {
      const at = MINUTE + request * PAUSE + 30 * SECOND;
      const reset: Operation = { at, do: "reset-sessions", caller: "ci", events, written: 1, sent: false };
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gap: PAUSE }), reset];
      const [pushed] = await pushesOf(schedule, { apps: [THREE] });
      expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
    },
  );

  it.each([1, 2])("keeps the first decision when the reply to request %i is lost", async (request) => {
    const schedule = [...POOL, ...NO_MATCH_FIRST, ...misfortunes(request, "sessions-reply-lost")];
    const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gap: PAUSE })], { apps: [THREE] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
  });

  it.each([600, 1_000, 1_500])(
    "keeps the first decision when the session object takes %i ms longer, and another isolate answers",
    async (slowMs) => {
      const slow: Operation = {
        at: MINUTE + 10 * SECOND,
        ...{ do: "sessions", caller: "ci", how: "slow", slowMs, share: 1, lasts: MINUTE },
      };
      const schedule = [...POOL, ...NO_MATCH_FIRST, ...misfortunes(1, "isolate"), slow];
      const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gap: 20 * SECOND })]);
      expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "0/1", "1/0"] });
    },
  );

  it("keeps the first decision in a push of nine requests and seven minutes", async () => {
    const between: App = Array.from({ length: 7 }, () => [[1, "0644"]]);
    const app: App = [[[0, "0644"]], ...between, [[0, "0644"]]];
    const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gap: 52 * SECOND })];
    const [pushed] = await pushesOf(schedule, { apps: [app] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "8/0"] });
  });

  it.each([60, 75, 90])(
    "keeps the first decision when another push of the user ends in a pause of %i s",
    async (seconds) => {
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gap: seconds * SECOND })];
      const other = push(MINUTE + 20 * SECOND, 2, { apps: [1] });
      const pushes = await pushesOf([...schedule, other], { apps: [[[[0, "0644"]], [[0, "0644"]]], SMALL] });
      expect(pushes.find(({ name }) => name === "1.1")).toMatchObject({
        ending: "well",
        uploaded: ["0/0", "1/0"],
      });
    },
  );

  it.each([60, 75, 90])(
    "keeps the first decision when two requests have the same contents, %i s apart",
    async (seconds) => {
      const app: App = [[[0, "0644"]], [[0, "0644"]], [[1, "0644"]]];
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { gap: seconds * SECOND })];
      const [pushed] = await pushesOf(schedule, { apps: [app] });
      expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0"] });
    },
  );

  it.each<Client>(["identified", "pinned", "stripped", "old", "old-traced"])(
    "keeps the first decision of a client that is %s",
    async (client) => {
      const schedule = [...POOL, ...NO_MATCH_FIRST, push(MINUTE, 1, { client, gap: 20 * SECOND })];
      const [pushed] = await pushesOf(schedule, { apps: [THREE] });
      expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
    },
  );

  it.each<Client>(["identified", "stripped"])(
    "keeps the first decision in a session that is older than 30 minutes, of a client that is %s",
    async (client) => {
      // The pushes of an old client keep its session alive.
      const earlier = Array.from({ length: 8 }, (_, index) =>
        push(MINUTE + index * 4 * MINUTE, 10 + index, { client, apps: [1] }),
      );
      const schedule = [...POOL, ...earlier, ...NO_MATCH_FIRST];
      const late = push(30 * MINUTE + 10 * SECOND, 1, { client, gap: 55 * SECOND });
      const pushes = await pushesOf([...schedule, late], { apps: [THREE, [[[3, "0644"]], [[1, "0644"]]]] });
      expect(pushes.at(-1)).toMatchObject({ name: "1.1", uploaded: ["0/0", "1/0", "2/0"] });
    },
  );

  it("keeps a match of an old client for three minutes although the file was removed", async () => {
    const removed: Operation = { at: MINUTE + SECOND, do: "remove", files: [0], tellsAfter: 0, clock: 0 };
    const first = push(5 * MINUTE, 1, { client: "old", gap: 75 * SECOND });
    const schedule = [...POOL, REPORTED, { ...removed, at: 5 * MINUTE + SECOND }, first];
    const [pushed] = await pushesOf(schedule, { apps: [THREE], hasCloudController: false });
    expect(pushed).toMatchObject({
      ending: "gone",
      matched: { "0/0": "0644", "1/0": "0644", "2/0": "0644" },
    });
  });

  it("keeps the decision of an isolate that did not reach the session object, once it does", async () => {
    const lost: Operation = {
      at: MINUTE - SECOND,
      ...{ do: "sessions", caller: "ci", how: "lost", share: 1, lasts: 30 * SECOND },
    };
    const schedule = [...POOL, ...NO_MATCH_FIRST, lost, push(MINUTE, 1, { gap: PAUSE })];
    const [pushed] = await pushesOf(schedule, { apps: [THREE] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
  });

  it("keeps the decisions of an isolate that no longer reaches the session object", async () => {
    const lost: Operation = {
      at: MINUTE + 30 * SECOND,
      ...{ do: "sessions", caller: "ci", how: "hang", share: 1, lasts: 10 * MINUTE },
    };
    const schedule = [...POOL, ...NO_MATCH_FIRST, lost, push(MINUTE, 1, { gap: PAUSE })];
    const [pushed] = await pushesOf(schedule, { apps: [THREE] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
  });

  it("keeps the first decision while a new version is deployed", async () => {
    const schedule = [...POOL, ...NO_MATCH_FIRST, ...misfortunes(1, "deploy"), ...misfortunes(2, "deploy")];
    const [pushed] = await pushesOf([...schedule, push(MINUTE, 1, { gap: 20 * SECOND })], { apps: [THREE] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: ["0/0", "1/0", "2/0"] });
  });
});

describe("two different apps of one user at once that share a file which the pool lost", () => {
  const lost: Operation = { at: 5 * MINUTE, do: "lose", how: "some", lost: [0] };

  it.each([2, 30, 60].flatMap((after) => [5, 20, 60].map((pause) => [after, pause] as const)))(
    "lose no file when the second begins %i s later and is retried after %i s",
    async (after, pause) => {
      const first = push(6 * MINUTE, 1, { gap: 90 * SECOND, uploads: 60 * SECOND });
      const second = push(6 * MINUTE + after * SECOND, 2, {
        apps: [1],
        isolate: 1,
        tries: 2,
        pause: pause * SECOND,
      });
      const pushes = await pushesOf([...POOL, REPORTED, lost, first, second], { apps: [SHARED, OTHER] });
      expect(
        endings(pushes)
          .filter((each) => each.startsWith("2."))
          .at(-1),
      ).toMatch("well");
    },
  );
});

describe("another push of the same user", () => {
  it.each([3.2, 4, 4.9])(
    "does not match a file %d minutes after its removal was reported",
    async (minutes) => {
      const removed: Operation = { at: 5 * MINUTE, do: "remove", files: [0], tellsAfter: 0, clock: 0 };
      const schedule = [...POOL, REPORTED, push(5 * MINUTE - 10 * SECOND, 1), removed];
      const again = push(5 * MINUTE + 10 * SECOND + minutes * MINUTE, 2, { isolate: 1, apps: [1] });
      const settings = { hasCloudController: false, apps: [SHARED, OTHER] };
      expect(endings(await pushesOf([...schedule, again], settings))).toEqual(["1.1 well", "2.1 well"]);
    },
  );

  it.each<Client>(["stripped", "old-traced"])(
    "does not match a file three minutes after its removal was reported, from a client that is %s",
    async (client) => {
      const removed: Operation = { at: 5 * MINUTE, do: "remove", files: [0], tellsAfter: 0, clock: 0 };
      const schedule = [...POOL, REPORTED, push(5 * MINUTE - 10 * SECOND, 1, { client }), removed];
      const again = push(8 * MINUTE + 15 * SECOND, 2, { client, isolate: 1, apps: [1] });
      const settings = { hasCloudController: false, apps: [SHARED, OTHER] };
      expect(endings(await pushesOf([...schedule, again], settings))).toEqual(["1.1 well", "2.1 well"]);
    },
  );

  it("does not match a file that was removed while the cache is suspended, from an old client", async () => {
    const files = [...Array(12).keys()];
    const removed: Operation = { at: 5 * MINUTE, do: "remove", files: [0], tellsAfter: 0, clock: 0 };
    const schedule: Operation[] = [
      ...files.map((file): Operation => ({ at: 0, do: "put", file })),
      { ...REPORTED, files } as Operation,
      push(5 * MINUTE - 10 * SECOND, 1, { client: "old" }),
      removed,
      { at: 6 * MINUTE, do: "lose", how: "wipe" },
      push(6 * MINUTE + 20 * SECOND, 2, { caller: "ann", apps: [1] }),
      push(8 * MINUTE + 15 * SECOND, 3, { client: "old", apps: [2] }),
    ];
    const all: App = [files.slice(1).map((file) => [file, "0644"] as const)];
    const pushes = await pushesOf(schedule, {
      files: 12,
      apps: [SHARED, all, [[[0, "0644"]], [[3, "0644"]]]],
    });
    expect(endings(pushes)).toEqual(["1.1 well", "2.1 gone", "3.1 well"]);
  });

  it.each([5, 30, 50])("matches what the first uploaded %i s ago", async (seconds) => {
    const first = push(MINUTE, 1, { gap: SECOND, uploads: 5 * SECOND });
    const pushes = await pushesOf([first, push(MINUTE + 8 * SECOND + seconds * SECOND, 2)]);
    expect(pushes.map(({ uploaded }) => uploaded)).toEqual([["0/0", "0/1", "1/0", "1/1"], []]);
  });
});

describe("a request that is no retry", () => {
  it.each([0, 1, 2])("asks the Cloud Controller about no match when reply %i is lost", async (request) => {
    const schedule = [...POOL, REPORTED, ...misfortunes(request, "sessions-reply-lost")];
    const [pushed] = await pushesOf([...schedule, push(5 * MINUTE, 1)], { apps: [THREE] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: [] });
  });

  it("asks the Cloud Controller about no match when another has the same contents", async () => {
    const app: App = [[[0, "0644"]], [[0, "0644"]], [[1, "0644"]]];
    const schedule = [...POOL, REPORTED, push(5 * MINUTE, 1)];
    const [pushed] = await pushesOf(schedule, { apps: [app] });
    expect(pushed).toMatchObject({ ending: "well", uploaded: [] });
  });
});

describe("the session that old clients share", () => {
  it.each<Client>(["stripped", "old", "old-traced"])(
    "ends five minutes after its last request of 5,000, when the client is %s",
    async (client) => {
      const first = push(MINUTE, 1, { client, uploads: MINUTE });
      const again = [3, 7].map((minutes, index) => push(minutes * MINUTE, 2 + index, { client, apps: [1] }));
      const report: Operation = { ...REPORTED, at: MINUTE };
      const apps: App[] = [SHARED, [...SHARED.slice(1)]];
      const schedule = [...POOL, report, first, ...again];
      const pushes = await pushesOf(schedule, { apps, hasCloudController: false });
      expect(pushes.map(({ uploaded }) => uploaded)).toEqual([["0/0", "0/1", "1/0", "1/1"], ["0/0"], []]);
    },
  );

  it("keeps a match in the last request of a push while the same file is rejected for another push", async () => {
    const hang = misfortunes(2, "cloud-controller-hang");
    const removed: Operation = {
      at: MINUTE + 4 * SECOND,
      do: "remove",
      files: [0],
      tellsAfter: MINUTE,
      clock: 0,
    };
    const first = push(MINUTE, 1, { client: "old", gap: SECOND });
    const other = push(MINUTE + 6 * SECOND, 2, { client: "old", isolate: 1 });
    const pushes = await pushesOf([...POOL, ...hang, first, removed, other], { apps: [THREE] });
    expect(pushes.map(({ name, uploaded }) => [name, ...uploaded])).toEqual([
      ["2.1", "0/0", "1/0", "2/0"],
      ["1.1", "2/1"],
    ]);
  });
});

describe("a manifest that KV does not show once", () => {
  it.each(["a warm", "a cold"])("makes %s isolate match no file that was removed", async (kind) => {
    const removed: Operation = { at: 5 * MINUTE, do: "remove", files: [0], tellsAfter: 0, clock: 0 };
    const schedule = [...POOL, REPORTED, push(4 * MINUTE, 2), removed];
    const missing = misfortunes(0, ...(kind === "a cold" ? (["manifest-missing"] as const) : []));
    const nothing: Operation[] = kind === "a warm" ? [{ at: 9 * MINUTE - 1, do: "kv-null", place: 1 }] : [];
    const settings = { hasCloudController: false };
    const pushes = await pushesOf([...schedule, ...missing, ...nothing, push(9 * MINUTE, 1)], settings);
    expect(endings(pushes)).toEqual(["2.1 well", "1.1 well"]);
  });
});

it("a session object that hangs delays a response by two seconds, and the log says so", async () => {
  const schedule = [...POOL, ...misfortunes(1, "sessions-hang"), push(MINUTE, 1)];
  const [pushed] = await pushesOf(schedule, { variables: { ...SETTINGS.variables } });
  expect(pushed?.ending).toBe("well");
});
