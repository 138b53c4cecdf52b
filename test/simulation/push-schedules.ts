import { expect } from "vitest";
import type { Ended } from "./push-judge.ts";
import type { App, Misfortune, Operation, Push, Settings } from "./schedule.ts";
import { simulate } from "./simulation.ts";

export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;

/** A content in the first request and in the last, and one in each alone. */
export const SHARED: App = [
  [
    [0, "0644"],
    [1, "0644"],
  ],
  [
    [0, "0644"],
    [2, "0644"],
  ],
];
export const SETTINGS: Settings = {
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
/** The pool has the files from the beginning, and the catalog is told so. */
export const POOL = FILES.map((file): Operation => ({ at: 0, do: "put", file }));
export const REPORTED: Operation = { at: 0, do: "add", files: FILES, tellsAfter: 0, clock: 0 };

export const push = (at: number, number: number, more: Partial<Push> = {}): Operation => ({
  ...{ at, do: "push", push: number, apps: [0], caller: "ci", client: "identified", place: 1, isolate: 0 },
  ...{ gap: 0, uploads: 2 * SECOND, tries: 1, pause: 0 },
  ...more,
});

/** What happens to a request of the push that has the number 1. */
export const misfortunes = (request: number, ...what: Misfortune[]): Operation[] =>
  what.map((each) => ({ at: 0, do: "misfortune", push: 1, request, what: each }));

/** Runs it, finds nothing wrong with it, and says what became of the pushes of the schedule. */
export async function pushesOf(operations: Operation[], settings: Partial<Settings> = {}): Promise<Ended[]> {
  const sorted = operations.toSorted((one, other) => one.at - other.at);
  const { violations, pushes } = await simulate({
    settings: { ...SETTINGS, ...settings },
    operations: sorted,
  });
  expect(violations).toEqual([]);
  return pushes.filter(({ name }) => !name.startsWith("-"));
}

export const endings = (pushes: readonly Ended[]) => pushes.map(({ name, ending }) => `${name} ${ending}`);
