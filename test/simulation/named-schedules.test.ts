import { describe, expect, it } from "vitest";
import { keyOf } from "./operator.ts";
import type { PoolFile } from "./pool.ts";
import type { Operation } from "./schedule.ts";
import {
  add,
  DAY,
  HOUR,
  MINUTE,
  matchesOf,
  put,
  remove,
  request,
  SECOND,
  SETTINGS,
} from "./schedule-fixtures.ts";
import { simulate } from "./simulation.ts";
import type { World } from "./world.ts";

const SETUP = [put(0), add(0)];
const SETUP_TWO = [put(0), put(0, 1), add(0, [0, 1])];

function fileZero({ pool }: World): PoolFile {
  const [file] = pool.files;
  if (!file) throw new Error("the pool has no files");
  return file;
}
const seeds = (name: string, count: number) => Array.from({ length: count }, (_, seed) => `${name} ${seed}`);

/** Calls the catalog's `observe` at a time. */
const observe = (at: number, observations: (world: World) => unknown) => (world: World) =>
  world.kernel.at(world.start + at, () => world.call(0, "observe", () => [observations(world)]));

/** Deletes file 0 from the pool. @returns the observation of that, at 10 minutes after the start */
const removeAtTenMinutes = (world: World) => {
  const file = fileZero(world);
  world.change(file, false);
  return { asOf: world.start + 10 * MINUTE, removed: [file.sha1], sizes: "verified" };
};

describe("an isolate", () => {
  const matchedThenRemoved = [...SETUP, request(4 * MINUTE), request(4 * MINUTE + 100), remove(5 * MINUTE)];

  it.each([5, 43, 60])(
    "matches nothing from its old manifest after %i idle minutes, even if KV is slow and requests are concurrent (R1.2)",
    async (minutes) => {
      const at = 5 * MINUTE + minutes * MINUTE;
      const slow: Operation = {
        at: at - 1,
        type: "kv-reads",
        place: 1,
        how: "slow",
        share: 1,
        durationMs: MINUTE,
      };
      const requests = [request(at), request(at), request(at + 20)];
      expect(await matchesOf([...matchedThenRemoved, slow, ...requests])).toEqual([[0], [0], [], [], []]);
    },
  );

  it("matches nothing after 45 idle minutes if KV reads hang (R1.2)", async () => {
    const hang: Operation = {
      at: 9 * MINUTE,
      type: "kv-reads",
      place: 1,
      how: "hang",
      share: 1,
      durationMs: HOUR,
    };
    const requests = [request(50 * MINUTE), request(50 * MINUTE)];
    expect(await matchesOf([...matchedThenRemoved, hang, ...requests])).toEqual([[0], [0], [], []]);
  });

  it.each([1, 2, 3, 4, 5])(
    "does not match a file that was removed while it was frozen before its event %i (R1.2)",
    async (afterEvents) => {
      const freeze: Operation = {
        at: 4 * MINUTE + 30 * SECOND,
        type: "freeze",
        place: 1,
        isolate: 0,
        afterEvents,
        durationMs: HOUR,
      };
      const frozen = request(4 * MINUTE + 31 * SECOND, [0], { fillers: 1 });
      const [first] = await matchesOf([...matchedThenRemoved, freeze, frozen]);
      expect(first).toEqual([0]);
    },
  );

  it("finishes loading its snapshot after the client of the first request has disconnected", async () => {
    // With one key a day, one of the remaining files is only in the snapshot.
    const variables = { ...SETTINGS.variables, KEYS_PER_DAY: "1" };
    const schedule = [put(0, 0), put(0, 1), put(0, 2), add(0, [0, 1, 2]), remove(HOUR)];
    const matched: (number[] | undefined)[] = [];
    for (let ms = 0; ms < 100; ms += 5) {
      const aborted = request(3 * HOUR, [0], { fillers: 557, hangUpAfterMs: ms });
      const next = request(3 * HOUR + ms + 2, [0, 1, 2]);
      matched.push((await matchesOf([...schedule, aborted, next], { variables })).at(-1));
    }
    expect(matched).toEqual(matched.map(() => [1, 2]));
  });
});

describe("the catalog", () => {
  it.each(Array.from({ length: 14 }, (_, event) => event))(
    "completes a snapshot that is requested again after a crash in event %i of the build",
    async (afterEvents) => {
      const crash: Operation = {
        at: 10 * MINUTE,
        type: "crash-catalog",
        afterEvents,
        writtenShare: 0.5,
        areMessagesSent: true,
      };
      const build: Operation = { at: 10 * MINUTE + 10, type: "publish" };
      const again: Operation = { at: 10 * MINUTE + 12 * SECOND, type: "publish" };
      const schedule = [...SETUP_TWO, crash, build, again, request(14 * MINUTE, [0, 1])];
      expect(await matchesOf(schedule)).toEqual([[0, 1]]);
    },
  );

  it.each(Array.from({ length: 10 }, (_, step) => 100 * step))(
    "publishes a removal that is reported %i ms after a snapshot build was requested (R1.1)",
    async (ms) => {
      const build: Operation = { at: 10 * MINUTE, type: "publish" };
      const prepare = observe(10 * MINUTE + ms, (world) => ({
        ...removeAtTenMinutes(world),
        asOf: world.kernel.now,
      }));
      const schedule = [...SETUP_TWO, build, request(13 * MINUTE + 3 * SECOND + ms, [0, 1])];
      expect(await matchesOf(schedule, { prepare })).toEqual([[1]]);
    },
  );

  it.each(Array.from({ length: 12 }, (_, step) => 100 * step))(
    "publishes no snapshot of entries that were forgotten %i ms after the build was requested (R1.3)",
    async (ms) => {
      const schedule: Operation[] = [
        ...SETUP_TWO,
        { at: 10 * MINUTE, type: "publish" },
        { at: 10 * MINUTE + ms, type: "forget" },
        request(14 * MINUTE, [0, 1]),
      ];
      // Without keys, only the snapshot can match the files, and the delta does not list them as removed.
      const variables = { ...SETTINGS.variables, KEYS_PER_DAY: "0" };
      expect(await matchesOf(schedule, { variables })).toEqual([[]]);
    },
  );

  it.each(Array.from({ length: 16 }, (_, step) => 50 * step))(
    "does not remove a file that was uploaded %i ms after the request for which the Cloud Controller rejects it (R1.3)",
    async (ms) => {
      const schedule: Operation[] = [
        ...SETUP,
        { at: 9 * MINUTE, type: "lose", how: "wipe" },
        request(10 * MINUTE),
        put(10 * MINUTE + ms),
      ];
      expect(await matchesOf(schedule, { hasCloudController: true })).toEqual([[0]]);
    },
  );

  it.each(Array.from({ length: 16 }, (_, step) => 50 * step))(
    "discards a match of the Cloud Controller for a file that was removed %i ms after the request (R1.3)",
    async (ms) => {
      const schedule = [put(0), request(10 * MINUTE), remove(10 * MINUTE + ms), request(14 * MINUTE)];
      const matches = await matchesOf(schedule, { hasCloudController: true });
      expect(matches.at(-1)).toEqual([]);
    },
  );

  it.each([1, 2])(
    "publishes a repeated observation whose first call was cut off in its event %i (R1.1)",
    async (afterEvents) => {
      // If only the first group of writes is stored, the next alarm is an hour later.
      const crash: Operation = {
        at: 10 * MINUTE - 1,
        type: "crash-catalog",
        afterEvents,
        writtenShare: 0.5,
        areMessagesSent: false,
      };
      const prepare = (world: World) => {
        observe(10 * MINUTE, removeAtTenMinutes)(world);
        observe(10 * MINUTE + 5 * SECOND, removeAtTenMinutes)(world);
      };
      const schedule = [...SETUP, request(9 * MINUTE), crash, request(13 * MINUTE + 20 * SECOND)];
      expect(await matchesOf(schedule, { prepare })).toEqual([[0], []]);
    },
  );

  it("publishes a repeated observation after the platform has stopped retrying the alarm (R1.1)", async () => {
    // The platform tries seven times in two minutes.
    const crashes = Array.from(
      { length: 7 },
      (_, index): Operation => ({
        at: 10 * MINUTE + 900,
        type: "crash-catalog",
        afterEvents: index + 1,
        writtenShare: 0,
        areMessagesSent: false,
      }),
    );
    const prepare = (world: World) => {
      observe(10 * MINUTE, removeAtTenMinutes)(world);
      observe(14 * MINUTE, removeAtTenMinutes)(world);
    };
    const schedule = [...SETUP, request(9 * MINUTE), ...crashes, request(17 * MINUTE + 20 * SECOND)];
    expect(await matchesOf(schedule, { prepare })).toEqual([[0], []]);
  });

  it("matches a file that is reported again after a forget", async () => {
    const schedule: Operation[] = [
      ...SETUP,
      request(5 * MINUTE),
      { at: 10 * MINUTE, type: "forget" },
      request(14 * MINUTE),
      add(15 * MINUTE),
      request(20 * MINUTE),
    ];
    expect(await matchesOf(schedule)).toEqual([[0], [], [0]]);
  });

  it("publishes a removal after a KV write that hangs (R2.2)", async () => {
    const hang: Operation = {
      at: 10 * MINUTE - 1,
      type: "kv-writes",
      how: "hang",
      share: 1,
      durationMs: 20 * SECOND,
    };
    const schedule = [
      ...SETUP,
      request(5 * MINUTE),
      hang,
      remove(10 * MINUTE),
      request(13 * MINUTE + 40 * SECOND),
    ];
    expect(await matchesOf(schedule)).toEqual([[0], []]);
  });

  it.each(seeds("late", 8))(
    "rewrites the manifest while an earlier write may still be stored (R1.5, %s)",
    async (seed) => {
      // Affects the hourly rewrite of the manifest, with which no other object is written.
      const late: Operation = { at: HOUR, type: "kv-writes", how: "late", share: 1, durationMs: 40 * SECOND };
      const schedule = [...SETUP, request(5 * MINUTE), late, remove(HOUR + 45 * SECOND)];
      const requests = [5, 20, 40].map((minutes) => request(HOUR + minutes * MINUTE));
      expect(await matchesOf([...schedule, ...requests], { seed })).toEqual([[0], [], [], []]);
    },
  );

  it("lists a removal in the delta while the snapshot has the entry, even if no alarm ran for days (R1.4)", async () => {
    const paused: Operation = { at: HOUR, type: "alarms-paused", durationMs: 60 * HOUR };
    const schedule = [...SETUP, remove(15 * MINUTE), paused, request(61 * HOUR + 10 * MINUTE)];
    expect(await matchesOf(schedule)).toEqual([[]]);
  });

  it.each(["0", "500"])(
    "matches nothing from a manifest if no alarm ran for a week, with %s keys a day (R1.2)",
    async (KEYS_PER_DAY) => {
      const paused: Operation = { at: 10 * MINUTE, type: "alarms-paused", durationMs: 7 * DAY };
      const schedule = [
        ...SETUP,
        request(5 * MINUTE),
        paused,
        remove(HOUR),
        request(2 * DAY),
        request(6 * DAY),
        request(7 * DAY + 20 * MINUTE),
      ];
      const variables = { ...SETTINGS.variables, KEYS_PER_DAY };
      expect(await matchesOf(schedule, { variables })).toEqual([[0], [], [], []]);
    },
  );
});

describe("an observation from before a removal that is reported after it", () => {
  it.each([6, 95, 300])(
    "creates no key of a removed file for a match of the Cloud Controller that is reported %i s late (R1.3)",
    async (seconds) => {
      const prepare = observe(10 * MINUTE + seconds * SECOND, (world) => ({
        asOf: world.start + 10 * MINUTE - SECOND,
        present: [keyOf(fileZero(world))],
        sizes: "client-reported",
      }));
      const schedule = [put(0), remove(10 * MINUTE), request(15 * MINUTE + seconds * SECOND)];
      expect(await matchesOf(schedule, { prepare })).toEqual([[]]);
    },
  );

  it("does not match by a key that was written 5 s before the removal was reported (R1.4)", async () => {
    const schedule = [...SETUP, remove(12 * SECOND), request(4 * MINUTE), request(HOUR), request(26 * HOUR)];
    const variables = { ...SETTINGS.variables, KV_CACHE_TTL: "86400" };
    expect(await matchesOf(schedule, { variables })).toEqual([[], [], []]);
  });

  it.each([20 * SECOND, 300 * SECOND, 6 * HOUR, 23 * HOUR])(
    "ignores a listing that is reported %i ms late (R1.3)",
    async (reportDelayMs) => {
      const schedule: Operation[] = [
        put(0),
        { at: MINUTE, type: "sync", reportDelayMs, clockErrorMs: 0, prune: false },
        remove(MINUTE + 5 * SECOND),
        request(MINUTE + reportDelayMs + 5 * MINUTE),
      ];
      expect(await matchesOf(schedule)).toEqual([[]]);
    },
  );

  it.each([
    ["5 minutes slow", -5 * MINUTE],
    ["7 hours fast", 7 * HOUR],
    ["a month fast", 30 * DAY],
  ])(
    "ignores an observation from before a removal if the operator's clock is %s (R1.3)",
    async (_, clockErrorMs) => {
      const schedule = [
        put(0),
        add(MINUTE, [0], 10 * MINUTE, clockErrorMs),
        remove(2 * MINUTE, 0, clockErrorMs),
        request(17 * MINUTE),
        put(20 * MINUTE),
        add(21 * MINUTE, [0], 0, clockErrorMs),
        request(26 * MINUTE),
      ];
      expect(await matchesOf(schedule)).toEqual([[], [0]]);
    },
  );

  it.each([0, 300, 48 * 3600])(
    "makes the consumer read the blob's current state if the bucket's event is %i s late (R1.3)",
    async (seconds) => {
      const prepare = ({ queue, kernel }: World) => {
        const send = queue.send.bind(queue);
        let sent = 0;
        // Only the first event is late.
        queue.send = (body) => (sent++ === 0 ? kernel.after(seconds * SECOND, () => send(body)) : send(body));
      };
      const schedule: Operation[] = [
        put(0),
        { at: MINUTE, type: "delete", file: 0 },
        request(seconds * SECOND + 10 * MINUTE),
      ];
      expect(await matchesOf(schedule, { hasBucket: true, prepare })).toEqual([[]]);
    },
  );
});

describe("KEY_PREFIX", () => {
  const deploy = (at: number, prefix: string): Operation => ({ at, type: "deploy", prefix, overlapMs: 0 });

  it("matches no removed file when KEY_PREFIX is changed and changed back (R1.1)", async () => {
    const schedule = [
      ...SETUP_TWO,
      request(5 * MINUTE, [0, 1]),
      deploy(6 * MINUTE, "v2/"),
      add(7 * MINUTE, [0, 1]),
      remove(15 * MINUTE),
      deploy(20 * MINUTE, ""),
      request(20 * MINUTE + 100, [0, 1]),
      add(21 * MINUTE, [1]),
      request(30 * MINUTE, [0, 1]),
    ];
    const matches = await matchesOf(schedule);
    expect(matches.at(0)).toEqual([0, 1]);
    expect(matches.at(-1)).toEqual([1]);
  });

  it("keeps the objects of another foundation whose KEY_PREFIX starts like a name of the cache", async () => {
    const prepare = ({ kv }: World) => {
      for (const prefix of ["snapshot/addition/", "delta/"])
        kv.fill(`${prefix}manifest`, "of another foundation");
    };
    const schedule = [...SETUP, request(5 * MINUTE), remove(6 * MINUTE), request(10 * MINUTE)];
    const { violations, responses } = await simulate(
      { settings: SETTINGS, operations: schedule },
      { prepare },
    );
    expect(responses.slice(0, 2).map(({ matched }) => matched)).toEqual([[0], []]);
    expect(violations.map(({ text }) => text)).toEqual([
      "snapshot/addition/manifest is left over",
      "delta/manifest is left over",
    ]);
  });
});

it("matches no file three minutes after its removal although KV_CACHE_TTL is a day (R1.1)", async () => {
  const variables = { ...SETTINGS.variables, KV_CACHE_TTL: "86400" };
  const requests = [5 * MINUTE, 10 * MINUTE, 24 * MINUTE, 20 * HOUR, 27 * HOUR].map((at) => request(at));
  const schedule = [...SETUP, ...requests, remove(20 * MINUTE)];
  expect(await matchesOf(schedule, { variables })).toEqual([[0], [0], [], [], []]);
});

it("does not match a key with the value 0, and does not add it to a snapshot", async () => {
  const prepare = (world: World) => world.kv.fill(keyOf(fileZero(world)), "0");
  const schedule: Operation[] = [
    put(0, 1),
    request(0, [0, 1]),
    add(MINUTE, [1]),
    { at: 2 * MINUTE, type: "publish" },
    request(10 * MINUTE, [0, 1]),
  ];
  const { responses } = await simulate({ settings: SETTINGS, operations: schedule }, { prepare });
  expect(responses.slice(0, 2).map(({ matched }) => matched)).toEqual([[], [1]]);
});
