import { describe, expect, it } from "vitest";
import type { Operation, Settings } from "./schedule.ts";
import { simulate } from "./simulation.ts";
import type { World } from "./world.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

const SETTINGS: Settings = {
  seed: "named",
  profile: "named",
  files: 3,
  places: 2,
  isolates: 1,
  variables: { KEY_PREFIX: "", KV_CACHE_TTL: "60", KEYS_PER_DAY: "500" },
  hasBucket: false,
  hasCloudController: false,
  kvOperationsPerDay: 100_000,
  queueDelayMs: 0,
  queueBacklogMs: 0,
  queueDuplicates: 0,
  settleMs: 4 * HOUR,
};

const put = (at: number, file = 0): Operation => ({ at, do: "put", file });
const remove = (at: number, tellsAfter = 0, clock = 0): Operation => ({
  at,
  do: "remove",
  files: [0],
  tellsAfter,
  clock,
});
const add = (at: number, files = [0], tellsAfter = 0, clock = 0): Operation => ({
  at,
  do: "add",
  files,
  tellsAfter,
  clock,
});
const ask = (at: number, files = [0], place = 1): Operation => ({ at, do: "ask", place, isolate: 0, files });

/** Runs it, finds nothing wrong with it, and says what the requests of the schedule were answered. */
async function answersOf(
  operations: Operation[],
  { prepare, ...settings }: Partial<Settings> & { prepare?: (world: World) => void } = {},
): Promise<number[][]> {
  const schedule = { settings: { ...SETTINGS, ...settings }, operations };
  const { violations, answers } = await simulate(schedule, prepare ? { prepare } : {});
  expect(violations).toEqual([]);
  const end = Math.max(...operations.map(({ at }) => at));
  return answers.filter(({ at }) => at <= end).map(({ matched }) => matched);
}

/** Somebody's call to the catalog arrives at a time. */
const observed = (at: number, observations: (world: World) => unknown) => (world: World) =>
  world.kernel.at(world.start + at, () =>
    world.call(
      0,
      "observe",
      () => [observations(world)],
      () => {},
    ),
  );
const keyOf = ({ pool }: World, file = 0) => `${pool.files[file]?.sha1}:${pool.files[file]?.size}`;

describe("an isolate", () => {
  const known = [put(0), add(0), ask(4 * MINUTE), ask(4 * MINUTE + 100), remove(5 * MINUTE)];

  it.each([5, 43, 60])(
    "idle for %i minutes matches nothing from its old manifest, however slow KV is, nor when asked twice at once",
    async (minutes) => {
      const again = 5 * MINUTE + minutes * MINUTE;
      const slow: Operation = {
        at: again - 1,
        do: "kv-reads",
        place: 1,
        how: "slow",
        share: 1,
        lasts: MINUTE,
      };
      expect(await answersOf([...known, slow, ask(again), ask(again), ask(again + 20)])).toEqual([
        [0],
        [0],
        [],
        [],
        [],
      ]);
    },
  );

  it("idle while KV can't be read matches nothing", async () => {
    const hung: Operation = { at: 9 * MINUTE, do: "kv-reads", place: 1, how: "hang", share: 1, lasts: HOUR };
    expect(await answersOf([...known, hung, ask(50 * MINUTE), ask(50 * MINUTE)])).toEqual([[0], [0], [], []]);
  });

  it.each([1, 2, 3, 4, 5])(
    "that freezes before its event %i matches no file that was removed while it was frozen",
    async (events) => {
      const freeze: Operation = {
        at: 4 * MINUTE + 30 * SECOND,
        do: "freeze",
        place: 1,
        isolate: 0,
        events,
        lasts: HOUR,
      };
      const [first] = await answersOf([
        ...known,
        freeze,
        { ...ask(4 * MINUTE + 31 * SECOND), padding: 1 } as Operation,
      ]);
      expect(first).toEqual([0]);
    },
  );

  it("loads its snapshot to the end for a client that has hung up, and for others", async () => {
    // One of the two that stay has no key.
    const settings = { variables: { ...SETTINGS.variables, KEYS_PER_DAY: "1" } };
    const pool = [put(0, 0), put(0, 1), put(0, 2), add(0, [0, 1, 2]), remove(HOUR)];
    const told: number[][] = [];
    for (let ms = 0; ms < 100; ms += 5) {
      const goes: Operation = { ...ask(3 * HOUR), padding: 557, hangsUpAfter: ms } as Operation;
      const answers = await answersOf([...pool, goes, ask(3 * HOUR + ms + 2, [0, 1, 2])], settings);
      told.push(answers.at(-1) as number[]);
    }
    expect(told).toEqual(told.map(() => [1, 2]));
  });
});

describe("the catalog", () => {
  it.each(Array.from({ length: 14 }, (_, events) => events))(
    "whose instance ends in event %i of a snapshot build resumes it, while a second build is requested",
    async (events) => {
      const restart: Operation = { at: 10 * MINUTE, do: "restart", events, written: 0.5, sent: true };
      const build: Operation = { at: 10 * MINUTE + 10, do: "publish" };
      const again: Operation = { at: 10 * MINUTE + 12 * SECOND, do: "publish" };
      const schedule = [put(0), put(0, 1), add(0, [0, 1]), restart, build, again, ask(14 * MINUTE, [0, 1])];
      expect(await answersOf(schedule)).toEqual([[0, 1]]);
    },
  );

  it.each(Array.from({ length: 10 }, (_, step) => 3 * SECOND + 100 * step))(
    "publishes a removal that arrives %i ms after a snapshot build was requested, wherever the scan is",
    async (ms) => {
      const build: Operation = { at: 10 * MINUTE, do: "publish" };
      const told = observed(10 * MINUTE + ms - 3 * SECOND, (world) => {
        world.change(world.pool.files[0] as never, false);
        return { asOf: world.kernel.now, removed: [keyOf(world).slice(0, 40)], sizes: "verified" };
      });
      const schedule = [put(0), put(0, 1), add(0, [0, 1]), build, ask(10 * MINUTE + ms + 3 * MINUTE, [0, 1])];
      expect(await answersOf(schedule, { prepare: told })).toEqual([[1]]);
    },
  );

  it.each(Array.from({ length: 12 }, (_, step) => 100 * step))(
    "does not publish what was forgotten %i ms after a snapshot of it was requested",
    async (ms) => {
      const schedule: Operation[] = [
        ...[put(0), put(0, 1), add(0, [0, 1])],
        { at: 10 * MINUTE, do: "publish" },
        { at: 10 * MINUTE + ms, do: "forget" },
        ask(14 * MINUTE, [0, 1]),
      ];
      // Without keys nothing but the snapshot holds the files, and no delta says that they are gone.
      const variables = { ...SETTINGS.variables, KEYS_PER_DAY: "0" };
      expect(await answersOf(schedule, { variables })).toEqual([[]]);
    },
  );

  it.each(Array.from({ length: 16 }, (_, step) => 50 * step))(
    "does not remove a file that was uploaded %i ms after a push began for which the Cloud Controller rejects it",
    async (ms) => {
      const schedule: Operation[] = [
        ...[put(0), add(0)],
        { at: 9 * MINUTE, do: "lose", how: "wipe" },
        ask(10 * MINUTE),
        put(10 * MINUTE + ms),
      ];
      expect(await answersOf(schedule, { hasCloudController: true })).toEqual([[0]]);
    },
  );

  it.each(Array.from({ length: 16 }, (_, step) => 50 * step))(
    "does not keep a file that was deleted %i ms after a push began for which the Cloud Controller matches it",
    async (ms) => {
      const schedule: Operation[] = [put(0), ask(10 * MINUTE), remove(10 * MINUTE + ms), ask(14 * MINUTE)];
      const answers = await answersOf(schedule, { hasCloudController: true });
      expect(answers.at(-1)).toEqual([]);
    },
  );

  it.each([1, 2])(
    "publishes the observation of a call that was cut off in its event %i, when the call is repeated",
    async (events) => {
      // With the first group of its writes alone, the alarm of the hour is the next.
      const cutOff: Operation = { at: 10 * MINUTE - 1, do: "restart", events, written: 0.5, sent: false };
      const removal = (world: World) => {
        world.change(world.pool.files[0] as never, false);
        return { asOf: world.start + 10 * MINUTE, removed: [keyOf(world).slice(0, 40)], sizes: "verified" };
      };
      const prepare = (world: World) => {
        observed(10 * MINUTE, removal)(world);
        observed(10 * MINUTE + 5 * SECOND, removal)(world);
      };
      const schedule = [put(0), add(0), ask(9 * MINUTE), cutOff, ask(13 * MINUTE + 20 * SECOND)];
      expect(await answersOf(schedule, { prepare })).toEqual([[0], []]);
    },
  );

  it("publishes an observation that is repeated after the platform has given up the alarm", async () => {
    // Each of the seven times that the platform tries it, two minutes in all.
    const deaths = Array.from({ length: 7 }, (_, before): Operation => {
      return { at: 10 * MINUTE + 900, do: "restart", events: before + 1, written: 0, sent: false };
    });
    const removal = (world: World) => {
      world.change(world.pool.files[0] as never, false);
      return { asOf: world.start + 10 * MINUTE, removed: [keyOf(world).slice(0, 40)], sizes: "verified" };
    };
    const prepare = (world: World) => {
      observed(10 * MINUTE, removal)(world);
      observed(14 * MINUTE, removal)(world);
    };
    const schedule = [put(0), add(0), ask(9 * MINUTE), ...deaths, ask(17 * MINUTE + 20 * SECOND)];
    expect(await answersOf(schedule, { prepare })).toEqual([[0], []]);
  });

  it("matches a file that is reported again after everything was forgotten", async () => {
    const forget: Operation = { at: 10 * MINUTE, do: "forget" };
    expect(
      await answersOf([
        put(0),
        add(0),
        ask(5 * MINUTE),
        forget,
        ask(14 * MINUTE),
        add(15 * MINUTE),
        ask(20 * MINUTE),
      ]),
    ).toEqual([[0], [], [0]]);
  });

  it("continues publishing after a write that KV never answers", async () => {
    const hung: Operation = {
      at: 10 * MINUTE - 1,
      do: "kv-writes",
      how: "hang",
      share: 1,
      lasts: 20 * SECOND,
    };
    expect(
      await answersOf([
        put(0),
        add(0),
        ask(5 * MINUTE),
        hung,
        remove(10 * MINUTE),
        ask(13 * MINUTE + 40 * SECOND),
      ]),
    ).toEqual([[0], []]);
  });

  it.each(Array.from({ length: 8 }, (_, seed) => `late ${seed}`))(
    "rewrites the manifest while an earlier write may still arrive (%s)",
    async (seed) => {
      // The hour's manifest, with which no other value is written.
      const late: Operation = { at: HOUR, do: "kv-writes", how: "late", share: 1, lasts: 40 * SECOND };
      const schedule = [put(0), add(0), ask(5 * MINUTE), late, remove(HOUR + 45 * SECOND)];
      const asked = [5, 20, 40].map((minutes) => ask(HOUR + minutes * MINUTE));
      expect(await answersOf([...schedule, ...asked], { seed })).toEqual([[0], [], [], []]);
    },
  );

  it("that had no alarm for days names a removal as long as its snapshot has the entry", async () => {
    const asleep: Operation = { at: HOUR, do: "alarms-stand", lasts: 60 * HOUR };
    const schedule = [put(0), add(0), remove(15 * MINUTE), asleep, ask(61 * HOUR + 10 * MINUTE)];
    expect(await answersOf(schedule)).toEqual([[]]);
  });

  it("that had no alarm for a week is not trusted, with keys or without", async () => {
    const asleep: Operation = { at: 10 * MINUTE, do: "alarms-stand", lasts: 7 * DAY };
    for (const KEYS_PER_DAY of ["0", "500"]) {
      const variables = { ...SETTINGS.variables, KEYS_PER_DAY };
      const schedule = [
        put(0),
        add(0),
        ask(5 * MINUTE),
        asleep,
        remove(HOUR),
        ask(2 * DAY),
        ask(6 * DAY),
        ask(7 * DAY + 20 * MINUTE),
      ];
      expect(await answersOf(schedule, { variables })).toEqual([[0], [], [], []]);
    }
  });
});

describe("an observation from before a removal that is reported after it", () => {
  const late = (ms: number, sizes: string) =>
    observed(10 * MINUTE + ms, (world) => ({
      asOf: world.start + 10 * MINUTE - SECOND,
      present: [keyOf(world)],
      sizes,
    }));

  it.each([6, 95, 300])(
    "makes no key of a match of the Cloud Controller that is %i s late",
    async (seconds) => {
      const schedule = [put(0), remove(10 * MINUTE), ask(15 * MINUTE + seconds * SECOND)];
      expect(await answersOf(schedule, { prepare: late(seconds * SECOND, "client-reported") })).toEqual([[]]);
    },
  );

  it("does not let a key outlive a removal that is reported 5 s after the key was written", async () => {
    const schedule = [put(0), add(0), remove(12 * SECOND), ask(4 * MINUTE), ask(HOUR), ask(26 * HOUR)];
    expect(
      await answersOf(schedule, { variables: { ...SETTINGS.variables, KV_CACHE_TTL: "86400" } }),
    ).toEqual([[], [], []]);
  });

  it.each([20 * SECOND, 300 * SECOND, 6 * HOUR, 23 * HOUR])(
    "ignores a listing that is reported %i ms later",
    async (ms) => {
      const schedule = [
        put(0),
        { at: MINUTE, do: "sync", tellsAfter: ms, clock: 0, prunes: false } as const,
        remove(MINUTE + 5 * SECOND),
        ask(MINUTE + ms + 5 * MINUTE),
      ];
      expect(await answersOf(schedule)).toEqual([[]]);
    },
  );

  it.each([
    ["5 minutes slow", -5 * MINUTE],
    ["7 hours fast", 7 * HOUR],
    ["a month fast", 30 * DAY],
  ])("does not depend on the operator's clock, which is %s", async (_, clock) => {
    const schedule = [
      put(0),
      add(MINUTE, [0], 10 * MINUTE, clock),
      remove(2 * MINUTE, 0, clock),
      ask(17 * MINUTE),
      put(20 * MINUTE),
      add(21 * MINUTE, [0], 0, clock),
      ask(26 * MINUTE),
    ];
    expect(await answersOf(schedule)).toEqual([[], [0]]);
  });

  it.each([0, 300, 48 * 3600])(
    "reads the current state of a blob for an event of the bucket that is %i s late",
    async (seconds) => {
      const prepare = ({ queue, kernel }: World) => {
        const send = queue.send.bind(queue);
        // The first event is the late one.
        let sent = 0;
        queue.send = (body) => (sent++ === 0 ? kernel.after(seconds * SECOND, () => send(body)) : send(body));
      };
      const schedule = [
        put(0),
        { at: MINUTE, do: "delete", file: 0 } as const,
        ask(seconds * SECOND + 10 * MINUTE),
      ];
      expect(await answersOf(schedule, { hasBucket: true, prepare })).toEqual([[]]);
    },
  );
});

describe("KEY_PREFIX", () => {
  const deploy = (at: number, prefix: string, overlap = 0): Operation => ({
    at,
    do: "deploy",
    prefix,
    overlap,
  });

  it("changed and taken back does not bring back files that were removed", async () => {
    const schedule = [
      put(0),
      put(0, 1),
      add(0, [0, 1]),
      ask(5 * MINUTE, [0, 1]),
      deploy(6 * MINUTE, "v2/"),
      add(7 * MINUTE, [0, 1]),
      remove(15 * MINUTE),
      deploy(20 * MINUTE, ""),
      ask(20 * MINUTE + 100, [0, 1]),
      add(21 * MINUTE, [1]),
      ask(30 * MINUTE, [0, 1]),
    ];
    const answers = await answersOf(schedule);
    expect(answers.at(0)).toEqual([0, 1]);
    expect(answers.at(-1)).toEqual([1]);
  });

  it("whose names begin like names of the cache leaves another foundation's cache alone", async () => {
    const prepare = ({ kv }: World) => {
      for (const prefix of ["snapshot/addition/", "delta/"]) kv.fill(`${prefix}manifest`, "of somebody else");
    };
    const schedule = [put(0), add(0), ask(5 * MINUTE), remove(6 * MINUTE), ask(10 * MINUTE)];
    const { violations, answers } = await simulate({ settings: SETTINGS, operations: schedule }, { prepare });
    expect(answers.slice(0, 2).map(({ matched }) => matched)).toEqual([[0], []]);
    expect(violations.map(({ text }) => text)).toEqual([
      "snapshot/addition/manifest is left over",
      "delta/manifest is left over",
    ]);
  });
});

describe("KV_CACHE_TTL of a day", () => {
  it("hides no removal: KV caches neither the manifest nor the delta as long as keys", async () => {
    const variables = { ...SETTINGS.variables, KV_CACHE_TTL: "86400" };
    const schedule = [
      put(0),
      add(0),
      ask(5 * MINUTE),
      ask(10 * MINUTE),
      remove(20 * MINUTE),
      ask(24 * MINUTE),
      ask(20 * HOUR),
      ask(27 * HOUR),
    ];
    expect(await answersOf(schedule, { variables })).toEqual([[0], [0], [], [], []]);
  });
});

it("a key whose value is 0 matches nothing and does not get into a snapshot", async () => {
  const prepare = (world: World) => world.kv.fill(keyOf(world), "0");
  const schedule = [
    put(0, 1),
    ask(0, [0, 1]),
    add(MINUTE, [1]),
    { at: 2 * MINUTE, do: "publish" } as const,
    ask(10 * MINUTE, [0, 1]),
  ];
  const { answers } = await simulate({ settings: SETTINGS, operations: schedule }, { prepare });
  expect(answers.slice(0, 2).map(({ matched }) => matched)).toEqual([[], [1]]);
});
