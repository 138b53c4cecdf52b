import { describe, expect, it } from "vitest";
import type { Ended } from "./push-judge.ts";
import type { App, Misfortune, Operation, Push, Settings } from "./schedule.ts";
import { simulate } from "./simulation.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;

/** A content in the first request and in the last, and one in each alone. */
const SHARED: App = [
  [
    [0, "0644"],
    [1, "0644"],
  ],
  [
    [0, "0644"],
    [2, "0644"],
  ],
];
const SETTINGS: Settings = {
  seed: "named",
  profile: "named",
  files: 4,
  places: 2,
  isolates: 2,
  variables: { KEY_PREFIX: "", KV_CACHE_TTL: "60", KEYS_PER_DAY: "500", MINIMUM_SIZE: "65536" },
  apps: [SHARED],
  hasBucket: false,
  hasCloudController: true,
  kvOperationsPerDay: 100_000,
  queueDelayMs: 0,
  queueBacklogMs: 0,
  queueDuplicates: 0,
  settleMs: 4 * HOUR,
};

const FILES = [0, 1, 2];
const POOL = FILES.map((file): Operation => ({ at: 0, do: "put", file }));
const TOLD: Operation = { at: 0, do: "add", files: FILES, tellsAfter: 0, clock: 0 };
const WIPED: Operation = { at: 5 * MINUTE, do: "lose", how: "wipe" };

const push = (at: number, number: number, more: Partial<Push> = {}): Operation => ({
  ...{ at, do: "push", push: number, app: 0, caller: "ci", place: 1, isolate: 0 },
  ...{ gap: 0, uploads: 2 * SECOND, tries: 1, pause: 0 },
  ...more,
});
const befalls = (request: number, ...what: Misfortune[]): Operation[] =>
  what.map((each) => ({ at: 0, do: "misfortune", push: 1, request, what: each }));

/** Runs it, finds nothing wrong with it, and says what became of the pushes of the schedule. */
async function pushesOf(operations: Operation[], settings: Partial<Settings> = {}): Promise<Ended[]> {
  const sorted = operations.toSorted((one, other) => one.at - other.at);
  const { violations, pushes } = await simulate({
    settings: { ...SETTINGS, ...settings },
    operations: sorted,
  });
  expect(violations).toEqual([]);
  return pushes.filter(({ name }) => !name.startsWith("-"));
}
const endings = (pushes: readonly Ended[]) => pushes.map(({ name, ending }) => `${name} ${ending}`);

describe("a content of the first request and the last is answered one way", () => {
  const NO_FIRST = { ending: "well", claimed: { "1/1": "0644" }, uploaded: ["0/0", "0/1", "1/0"] };
  const NO_LAST = {
    ending: "well",
    claimed: { "0/0": "0644", "0/1": "0644", "1/0": "0644" },
    uploaded: ["1/1"],
  };

  it.each<[string, Misfortune, number, object]>([
    ["a deadline in the first, an answer in the last", "cloud-controller-hang", 0, NO_FIRST],
    ["an answer in the first, a deadline in the last", "cloud-controller-hang", 1, NO_LAST],
    ["a 500 to the first", "cloud-controller-error", 0, NO_FIRST],
    ["a 500 to the last", "cloud-controller-error", 1, NO_LAST],
    ["half an answer to the first", "cloud-controller-cut", 0, NO_FIRST],
  ])("%s", async (_, what, request, outcome) => {
    const [pushed] = await pushesOf([...POOL, ...befalls(request, what), push(MINUTE, 1)]);
    expect(pushed).toMatchObject(outcome);
  });

  it.each<[string, Misfortune, number, object]>([
    ["KV fails for the first", "kv-fail", 0, NO_FIRST],
    ["KV hangs for the first", "kv-hang", 0, NO_FIRST],
    ["KV fails for the last", "kv-fail", 1, NO_LAST],
  ])("%s, and no Cloud Controller is set", async (_, what, request, outcome) => {
    const schedule = [...POOL, TOLD, ...befalls(request, what), push(4 * MINUTE, 1)];
    const [pushed] = await pushesOf(schedule, { hasCloudController: false });
    expect(pushed).toMatchObject(outcome);
  });

  it.each<[string, Misfortune[]]>([
    ["a key and changes", ["learned"]],
    ["a snapshot", ["learned", "publication"]],
    ["a snapshot, for another isolate,", ["learned", "publication", "isolate"]],
    ["a snapshot, for another place,", ["learned", "publication", "elsewhere"]],
    ["a snapshot, and a new instance of the memory,", ["learned", "publication", "isolate", "memory"]],
  ])("%s appear between the two", async (_, what) => {
    const app: App = [...SHARED.slice(0, 1), [], ...SHARED.slice(1)];
    // Between the middle request, which asks for nothing that could match, and the last, all have seen what is new.
    const schedule = [...POOL, ...befalls(1, ...what), push(MINUTE, 1, { gap: 95 * SECOND })];
    const [pushed] = await pushesOf(schedule, { hasCloudController: false, apps: [app] });
    expect(pushed).toMatchObject({
      ending: "well",
      claimed: { "2/1": "0644" },
      uploaded: ["0/0", "0/1", "2/0"],
    });
  });

  it.each([
    ["0444", "0644", {}, ["0/0", "1/0"]],
    ["0644", "0444", { "0/0": "0644", "1/0": "0644" }, []],
    ["0644", "100444", { "0/0": "0644", "1/0": "100644" }, []],
  ])("mode %s in the first, %s in the last", async (first, last, claimed, uploaded) => {
    const apps: App[] = [[[[0, first]], [[0, last]]]];
    const [pushed] = await pushesOf([...POOL, push(MINUTE, 1)], { apps });
    expect(pushed).toMatchObject({ ending: "well", claimed, uploaded });
  });

  it.each(Array.from({ length: 6 }, (_, seed) => `late ${seed}`))(
    "the Cloud Controller keeps the last waiting until what the cache said of it counts no more (%s)",
    async (seed) => {
      const variables = { ...SETTINGS.variables, LOOKUP_DEADLINE_MS: "60000" };
      const known: Operation = { at: 0, do: "add", files: [0], tellsAfter: 0, clock: 0 };
      for (const request of [0, 1]) {
        const schedule = [...POOL, known, ...befalls(request, "cloud-controller-hang"), push(4 * MINUTE, 1)];
        const [pushed] = await pushesOf(schedule, { seed, variables });
        expect(pushed).toMatchObject({ ending: "well" });
      }
    },
  );
});

describe("a pool that was wiped", () => {
  const known = [...POOL, TOLD, WIPED];
  const gone = 5 * MINUTE + 10 * SECOND;

  it.each([0, 20 * SECOND, 2 * MINUTE, 8 * MINUTE])(
    "fails one push, and not when that is tried again %i ms later",
    async (pause) => {
      const pushes = await pushesOf([...known, push(gone, 1, { tries: 2, pause })]);
      expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
      expect(pushes[1]).toMatchObject({ claimed: {}, uploaded: ["0/0", "0/1", "1/0", "1/1"] });
    },
  );

  it("fails one push of three requests, of which the last asks for nothing that could match", async () => {
    const apps: App[] = [[[[0, "0644"]], [[1, "0644"]], [[9, "0644"]]]];
    const pushes = await pushesOf([...known, push(gone, 1, { tries: 2 })], { apps });
    expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
  });

  it("is known of by an isolate that had claimed its files, when another has heard of it", async () => {
    const again = [push(gone + 20 * SECOND, 2, { isolate: 1 }), push(gone + 40 * SECOND, 3)];
    const pushes = await pushesOf([...known, push(gone, 1), ...again]);
    expect(endings(pushes)).toEqual(["1.1 gone", "2.1 well", "3.1 well"]);
  });

  it("loses no file of a push whose claims are denied while another user uploads what they lack", async () => {
    // Both requests of 5,000 are one question.
    const apps: App[] = [[[[0, "0644"]], [[0, "0644"]], [[3, "0644"]]], SHARED];
    const other = push(gone + 10 * SECOND, 2, {
      app: 1,
      caller: "ann",
      place: 0,
      tries: 2,
      pause: 20 * SECOND,
    });
    const pushes = await pushesOf([...known, push(gone, 1, { uploads: 80 * SECOND }), other], { apps });
    expect(endings(pushes)).toContain("2.2 well");
    expect(pushes.find(({ name }) => name === "1.1")?.claimed).toEqual({ "0/0": "0644", "1/0": "0644" });
  });

  it("loses no file of two pushes of one app by one user at once", async () => {
    const first = push(gone, 1, { gap: 15 * SECOND, tries: 2, pause: 20 * SECOND });
    const second = push(gone + 2 * SECOND, 2, { isolate: 1, tries: 2, pause: 90 * SECOND });
    expect(endings(await pushesOf([...known, first, second]))).toEqual(["2.1 gone", "1.1 well", "2.2 well"]);
  });

  it.each(Array.from({ length: 6 }, (_, seed) => `beside ${seed}`))(
    "loses no file of a push whose answer comes while another of the same app waits for its own (%s)",
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

  it("loses no file of a push beside which another of the same app has ended, and been tried again", async () => {
    const first = push(gone, 1, { gap: 20 * SECOND, uploads: 20 * SECOND });
    const second = push(gone + 2 * SECOND, 2, { isolate: 1, tries: 2, pause: 3 * SECOND });
    const pushes = await pushesOf([...known, first, second]);
    expect(pushes.find(({ name }) => name === "1.1")?.claimed).toMatchObject({
      "0/0": "0644",
      "1/0": "0644",
    });
  });

  it("that has got back an older copy fails one push of what came since", async () => {
    const schedule = [
      ...FILES.map((file): Operation => ({ at: file * MINUTE, do: "put", file })),
      { ...TOLD, at: 3 * MINUTE } as Operation,
      { at: 10 * MINUTE, do: "lose", how: "restore", since: 9.5 * MINUTE } as const,
      push(10 * MINUTE + SECOND, 1, { tries: 2 }),
    ];
    const pushes = await pushesOf(schedule);
    expect(endings(pushes)).toEqual(["1.1 gone", "1.2 well"]);
    expect(pushes[1]).toMatchObject({ claimed: { "0/0": "0644", "1/0": "0644" }, uploaded: ["0/1", "1/1"] });
  });
});
