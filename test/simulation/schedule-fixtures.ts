import { expect } from "vitest";
import type { PushResult } from "./push-checker.ts";
import type { App, Operation, Push, RequestFault, Settings } from "./schedule.ts";
import { simulate } from "./simulation.ts";
import type { World } from "./world.ts";

export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;

/** Three files, one isolate in each of two places, and no Cloud Controller. */
export const SETTINGS: Settings = {
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

/** One content in both requests, and one more in each. */
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

/** Four files, two isolates in each of two places, a Cloud Controller, and the app `SHARED`. */
export const PUSH_SETTINGS: Settings = {
  ...SETTINGS,
  files: 4,
  isolates: 2,
  variables: { ...SETTINGS.variables, MINIMUM_SIZE: "65536" },
  apps: [SHARED],
  hasCloudController: true,
};

export const put = (at: number, file = 0): Operation => ({ at, type: "put", file });

/** The operator reports files that are present. */
export const add = (at: number, files = [0], reportDelayMs = 0, clockErrorMs = 0): Operation => ({
  at,
  type: "add",
  files,
  reportDelayMs,
  clockErrorMs,
});

/** The operator deletes file 0 from the pool, and reports it. */
export const remove = (at: number, reportDelayMs = 0, clockErrorMs = 0): Operation => ({
  at,
  type: "remove",
  files: [0],
  reportDelayMs,
  clockErrorMs,
});

export const request = (
  at: number,
  files = [0],
  options: { fillers?: number; hangUpAfterMs?: number } = {},
): Operation => ({ at, type: "request", place: 1, isolate: 0, files, ...options });

/** Files 0 to 2 are in the pool from the start. */
export const POOL = [0, 1, 2].map((file) => put(0, file));
/** Files 0 to 2 are reported at the start. */
export const REPORTED = add(0, [0, 1, 2]);

export const push = (at: number, number: number, options: Partial<Push> = {}): Operation => ({
  at,
  type: "push",
  push: number,
  apps: [0],
  caller: "ci",
  client: "identified",
  place: 1,
  isolate: 0,
  gapMs: 0,
  uploadMs: 2 * SECOND,
  maxRuns: 1,
  retryPauseMs: 0,
  ...options,
});

/** Faults of one request of push 1. */
export const requestFaults = (index: number, ...faults: RequestFault[]): Operation[] =>
  faults.map((what) => ({ at: 0, type: "request-fault", push: 1, request: index, what }));

type Options = Partial<Settings> & { prepare?: (world: World) => void };

/** Runs a schedule without violations. @returns the matched files of each request of the schedule */
export async function matchesOf(operations: Operation[], options: Options = {}): Promise<number[][]> {
  const { prepare = () => {}, ...settings } = options;
  const schedule = { settings: { ...SETTINGS, ...settings }, operations };
  const { violations, responses } = await simulate(schedule, { prepare });
  expect(violations).toEqual([]);
  const end = Math.max(...operations.map(({ at }) => at));
  return responses.filter(({ at }) => at <= end).map(({ matched }) => matched);
}

/** Runs a schedule without violations. @returns the results of the schedule's pushes */
export async function pushesOf(
  operations: Operation[],
  settings: Partial<Settings> = {},
): Promise<PushResult[]> {
  const sorted = operations.toSorted((one, other) => one.at - other.at);
  const schedule = { settings: { ...PUSH_SETTINGS, ...settings }, operations: sorted };
  const { violations, pushes } = await simulate(schedule);
  expect(violations).toEqual([]);
  // The pushes at the end of the simulation have negative numbers.
  return pushes.filter(({ name }) => !name.startsWith("-"));
}

/** Such as "1.2 success": the second run of push 1. */
export const outcomesOf = (pushes: readonly PushResult[]) =>
  pushes.map(({ name, outcome }) => `${name} ${outcome}`);
