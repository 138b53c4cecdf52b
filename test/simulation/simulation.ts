import type { Checker, Violation } from "./checker.ts";
import type { FailOpenChecker } from "./fail-open-checker.ts";
import { LONG_DEADLINE_MS } from "./limits.ts";
import { keyOf } from "./operator.ts";
import { installBugs } from "./platform/bugs.ts";
import { installGlobals } from "./platform/globals.ts";
import { TraceHash, TraceLines } from "./platform/kernel.ts";
import type { PushChecker, PushResult } from "./push-checker.ts";
import {
  type Action,
  describe,
  type Operation,
  type Push,
  type Schedule,
  type Settings,
} from "./schedule.ts";
import { StorageChecker } from "./storage-checker.ts";
import { World } from "./world.ts";

export interface Outcome {
  violations: Violation[];
  traceHash: string;
  /** Empty without `keepTrace`. */
  lines: { time: number; text: string }[];
  start: number;
  counts: Checker["counts"] & PushChecker["counts"] & FailOpenChecker["counts"];
  /** For each response, when the request was sent, and the sorted numbers of the matched files. */
  responses: { at: number; matched: number[] }[];
  /** Each app in each run of cf, in the order in which they ended. */
  pushes: PushResult[];
}

/** Between the final pushes of two apps. */
const FINAL_PUSH_PAUSE_MS = 4 * 60_000;
/** The first run may fail on a lost file, and the second must succeed … */
const FINAL_RUNS = 2;
/** … unless the deadline is so short that rejections arrive only after the response. */
const FINAL_RUNS_SHORT_DEADLINE = 4;
const FINAL_RETRY_PAUSE_MS = 90_000;
/** The duration of a request with the longest LOOKUP_DEADLINE_MS. */
const REQUEST_MAX_MS = 90_000;
/** Superseded objects are deleted within this time. */
const SUPERSEDED_MAX_MS = 65 * 60_000;

/**
 * Runs a schedule with the code under test, and checks it.
 *
 * @param prepare changes the world before the schedule starts
 */
export async function simulate(
  { settings, operations }: Schedule,
  { keepTrace = false, prepare = (_: World) => {} } = {},
): Promise<Outcome> {
  const hash = new TraceHash();
  const lines = new TraceLines();
  const trace = {
    add(time: number, text: string) {
      hash.add(time, text);
      if (keepTrace) lines.add(time, text);
    },
  };
  const uninstall = [installGlobals(), installBugs()];
  const world = new World(settings, trace);
  const { kernel, start, checker } = world;
  try {
    prepare(world);
    // Operations at the same time run in the order of the schedule.
    for (const [at, simultaneous] of Map.groupBy(operations, (operation) => operation.at)) {
      kernel.at(start + at, () => {
        for (const operation of simultaneous) {
          kernel.note(`— ${describe(operation)}`);
          perform(world, operation);
        }
      });
    }
    const end = Math.max(0, ...operations.map((operation) => endOf(operation, settings)));
    await kernel.run(start + end);
    world.clearFaults();
    if (settings.apps && settings.hasCloudController) await pushAllApps(world);
    await kernel.run(kernel.now + settings.settleMs);
    await checkFinalState(world);
  } finally {
    world.close();
    for (const restore of uninstall) restore();
  }
  return {
    violations: checker.violations,
    traceHash: hash.value,
    lines: lines.lines,
    start,
    counts: { ...checker.counts, ...checker.pushes.counts, ...checker.failOpen.counts },
    pushes: checker.pushes.results,
    responses: checker.responses.map(({ at, matched }) => ({
      at,
      matched: matched
        .map((key) => world.pool.files.findIndex(({ sha1 }) => key.startsWith(sha1)))
        .toSorted(),
    })),
  };
}

/** When all effects of an operation have ended. */
function endOf(operation: Operation, settings: Settings): number {
  const durationMs = "durationMs" in operation ? operation.durationMs : 0;
  const delayMs = "reportDelayMs" in operation ? operation.reportDelayMs : 0;
  const pushMs =
    operation.type === "push"
      ? operation.maxRuns * (runMaxMs(operation, settings) + operation.retryPauseMs)
      : 0;
  return operation.at + durationMs + delayMs + pushMs;
}

/** The duration of a run in which every request takes until its deadline. */
function runMaxMs({ apps, gapMs, uploadMs }: Push, settings: Settings): number {
  const requests = apps.flatMap((app) => settings.apps?.[app] ?? []).length;
  return requests * (REQUEST_MAX_MS + gapMs) + apps.length * uploadMs;
}

/** After the last fault: pushes each app again, which must succeed. */
async function pushAllApps({ kernel, pushes, checker, settings }: World): Promise<void> {
  const { apps = [], variables } = settings;
  const hasLongDeadline = Number(variables.LOOKUP_DEADLINE_MS ?? LONG_DEADLINE_MS) >= LONG_DEADLINE_MS;
  const maxRuns = hasLongDeadline ? FINAL_RUNS : FINAL_RUNS_SHORT_DEADLINE;
  const durations = apps.map((_, app) => {
    const push: Push = {
      push: -1 - app,
      apps: [app],
      caller: `traffic ${app}`,
      client: "identified",
      place: 1,
      isolate: 0,
      gapMs: 20,
      uploadMs: 3_000,
      maxRuns,
      retryPauseMs: FINAL_RETRY_PAUSE_MS,
    };
    kernel.after(app * FINAL_PUSH_PAUSE_MS, () =>
      pushes.start(push, (outcome) => checker.pushes.checkFinalOutcome(push.push, outcome)),
    );
    return maxRuns * (runMaxMs(push, settings) + FINAL_RETRY_PAUSE_MS);
  });
  await kernel.run(kernel.now + apps.length * FINAL_PUSH_PAUSE_MS + Math.max(...durations));
}

/** Hours after the last fault: checks the responses of all isolates, the catalog and KV. */
async function checkFinalState(world: World): Promise<void> {
  const { kernel, checker, pool, settings } = world;
  const keys = pool.files.map(keyOf);
  // Without the Cloud Controller, the cache alone must match.
  world.controller.faults.push({ from: kernel.now, until: Infinity, how: "error" });
  for (const isolate of world.running()) world.request(isolate, keys);
  for (let place = 0; place < settings.places; place++) world.request(world.newIsolate(place), keys);
  await kernel.run(kernel.now + 60_000);
  let hasCatalog = false;
  world.call(0, "page", [undefined], (result) => {
    hasCatalog = true;
    const resources = "value" in result ? (result.value as { resources: string[] }).resources : [];
    checker.checkCatalog(resources);
    if (settings.hasCloudController) checker.pushes.checkCatalog(resources);
  });
  await kernel.run(kernel.now + 60_000);
  if (!hasCatalog) checker.checkCatalog([]);
  const errors = new StorageChecker(world).errors();
  if (errors.length === 0) return;
  // Objects that were just superseded are stored for another hour: only an error that remains counts.
  await kernel.run(kernel.now + SUPERSEDED_MAX_MS);
  const remaining = new Set(new StorageChecker(world).errors());
  for (const error of errors) if (remaining.has(error)) checker.violated("inconsistent cache", error);
}

function perform(world: World, action: Action): void {
  const { kernel, pool, kvFaults, operator } = world;
  const filesOf = (numbers: readonly number[]) => numbers.flatMap((number) => pool.files[number] ?? []);
  const until = kernel.now + ("durationMs" in action ? action.durationMs : 0);
  const from = kernel.now;
  const minimumSize = Number(world.settings.variables.MINIMUM_SIZE ?? 0);
  switch (action.type) {
    case "request": {
      const keys = filesOf(action.files).map(
        ({ sha1, size }) => `${sha1}:${action.hasWrongSizes ? size + 1 : size}`,
      );
      const fillers = Array.from(
        { length: action.fillers ?? 0 },
        (_, index) => `${index.toString(16).padStart(40, "f")}:${minimumSize + 1}`,
      );
      world.request(world.isolate(action.place, action.isolate), [...keys, ...fillers], action.hangUpAfterMs);
      break;
    }
    case "put":
    case "delete":
      for (const file of filesOf([action.file])) world.change(file, action.type === "put");
      break;
    case "add":
      operator.add(filesOf(action.files), action.reportDelayMs, action.clockErrorMs);
      break;
    case "remove":
      operator.remove(filesOf(action.files), action.reportDelayMs, action.clockErrorMs);
      break;
    case "sync":
      operator.sync(action.reportDelayMs, action.clockErrorMs, action.prune);
      break;
    case "push":
      world.pushes.start(action);
      break;
    case "request-fault":
      world.pushes.addFault(action);
      break;
    case "lose":
      loseFiles(world, action);
      break;
    case "publish":
      world.publish();
      break;
    case "forget":
      world.call(0, "forget", []);
      break;
    case "deploy":
      world.deploy(action.prefix, action.overlapMs);
      break;
    case "misconfigure":
      world.misconfigure(action.durationMs, action.overlapMs);
      break;
    case "bug":
      world.isolate(action.place, action.isolate).bug = { at: action.bug, until };
      break;
    case "uaa":
      world.uaa.faults.push({ from, until, how: action.how });
      break;
    case "uaa-key":
      world.uaa.addKey();
      break;
    case "freeze": {
      const isolate = world.isolate(action.place, action.isolate);
      isolate.planFault(action.afterEvents, () => {
        kernel.note(`${isolate.name} freezes`);
        isolate.freeze(kernel.now, kernel.now + action.durationMs);
      });
      break;
    }
    case "kill": {
      const isolate = world.isolate(action.place, action.isolate);
      isolate.planFault(action.afterEvents, () => {
        kernel.note(`${isolate.name} dies`);
        isolate.kill();
      });
      break;
    }
    case "crash-catalog":
      world.checker.noteCatalogFault(from, from);
      world.catalog.crash(action.afterEvents, action);
      break;
    case "kv-reads":
      kvFaults.add({
        kind: "reads",
        place: action.place,
        how: action.how,
        share: action.share,
        from,
        until,
      });
      break;
    case "kv-writes":
      kvFaults.add({ kind: "writes", how: action.how, share: action.share, from, until });
      break;
    case "kv-lag":
      kvFaults.add({ kind: "lag", place: action.place, ms: action.lagMs, share: action.share, from, until });
      break;
    case "cloud-controller":
      world.controller.faults.push({ from, until, how: action.how });
      break;
    case "bucket":
      world.bucket.faults.push({ from, until, how: action.how });
      break;
    case "alarms-paused":
      world.checker.noteAlarmsPaused(from, until);
      world.pauseAlarms(until);
      break;
    case "catalog-calls":
      world.checker.noteCatalogFault(from, until);
      world.catalogFaults.push({ from, until, how: action.how, share: action.share });
      break;
    case "kv-manifest-miss":
      kvFaults.missManifest(action.place);
      break;
    case "session-calls":
      world.sessionFaults.push({ ...action, from, until });
      break;
    case "crash-sessions":
      world.crashSessions(action.caller, action.afterEvents, action);
  }
}

function loseFiles(world: World, loss: Action & { type: "lose" }): void {
  const { kernel, pool } = world;
  switch (loss.how) {
    case "wipe":
      world.lose(() => false);
      break;
    case "some": {
      const lost = new Set(loss.lostFiles.map((number) => pool.files[number]));
      world.lose((file) => pool.has(file.sha1) && !lost.has(file));
      break;
    }
    case "restore": {
      const time = kernel.now - loss.ageMs;
      world.lose((file) => pool.hadAt(file.sha1, time));
    }
  }
}
