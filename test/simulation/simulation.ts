import { FinalCheck } from "./final-check.ts";
import type { Judge, Violation } from "./judge.ts";
import { PATIENT_DEADLINE_MS } from "./limits.ts";
import { keyOf } from "./operator.ts";
import { installGlobals } from "./platform/globals.ts";
import { TraceHash, TraceLines } from "./platform/kernel.ts";
import type { Ended, PushJudge } from "./push-judge.ts";
import { type Deed, describe, type Operation, type Push, type Schedule, type Settings } from "./schedule.ts";
import { World } from "./world.ts";

export interface Outcome {
  violations: Violation[];
  traceHash: string;
  lines: { time: number; text: string }[];
  start: number;
  counts: Judge["counts"] & PushJudge["counts"];
  /** What each request was answered, in their order: the numbers of the files that it matches. */
  answers: { at: number; matched: number[] }[];
  /** What has become of each app in each run of cf, in the order of their ends. */
  pushes: Ended[];
}

/** Between the pushes that find out whether all is well again. */
const TRAFFIC_PAUSE_MS = 4 * 60_000;
/** The second heals what the first has shown; where verification may come too late, what follows it does. */
const RUNS = 2;
const IMPATIENT_RUNS = 4;
const RUN_AGAIN_MS = 90_000;
/** What a request may take, with the longest deadline. */
const REQUEST_MAX_MS = 90_000;
const SUPERSEDED_MAX_MS = 65 * 60_000;

/**
 * Runs a schedule, with the code under test, and judges it.
 *
 * @param prepare what a schedule can't say, before anything happens
 */
export async function simulate(
  { settings, operations }: Schedule,
  { keepsTrace = false, prepare = (_: World) => {} } = {},
): Promise<Outcome> {
  const hash = new TraceHash();
  const lines = new TraceLines();
  const trace = {
    add(time: number, text: string) {
      hash.add(time, text);
      if (keepsTrace) lines.add(time, text);
    },
  };
  const uninstall = installGlobals();
  const world = new World(settings, trace);
  const { kernel, start, judge } = world;
  try {
    prepare(world);
    // Those of one moment in their own order.
    for (const [at, together] of Map.groupBy(operations, (operation) => operation.at)) {
      kernel.at(start + at, () => {
        for (const operation of together) {
          kernel.note(`— ${describe(operation)}`);
          perform(world, operation);
        }
      });
    }
    const end = Math.max(0, ...operations.map((operation) => endOf(operation, settings)));
    await kernel.run(start + end);
    for (const isolate of world.running()) isolate.spare();
    world.catalog.spare();
    world.spareSessions();
    world.weather.spare();
    world.kv.upgrade();
    if (settings.apps && settings.hasCloudController) await traffic(world);
    await kernel.run(kernel.now + settings.settleMs);
    await lastLook(world);
  } finally {
    world.close();
    uninstall();
  }
  return {
    violations: judge.violations,
    traceHash: hash.value,
    lines: lines.lines,
    start,
    counts: { ...judge.counts, ...judge.pushes.counts },
    pushes: judge.pushes.endings,
    answers: judge.answers.map(({ at, matched }) => ({
      at,
      matched: matched
        .map((key) => world.pool.files.findIndex(({ sha1 }) => key.startsWith(sha1)))
        .toSorted(),
    })),
  };
}

/** When the last trouble is over that an operation brings. */
function endOf(operation: Operation, settings: Settings): number {
  const lasts = "lasts" in operation ? operation.lasts : 0;
  const tells = "tellsAfter" in operation ? operation.tellsAfter : 0;
  const pushes =
    operation.do === "push" ? operation.tries * (runMaxMs(operation, settings) + operation.pause) : 0;
  return operation.at + lasts + tells + pushes;
}

/** A run in which the Worker waits for its deadline in every request. */
function runMaxMs({ apps, gap, uploads }: Push, settings: Settings): number {
  const requests = apps.flatMap((app) => settings.apps?.[app] ?? []).length;
  return requests * (REQUEST_MAX_MS + gap) + apps.length * uploads;
}

/** Nothing goes wrong any more, and each app is pushed once more, for ten minutes in all or longer. */
async function traffic({ kernel, pushes, judge, settings }: World): Promise<void> {
  const { apps = [], variables } = settings;
  const isPatient = Number(variables.LOOKUP_DEADLINE_MS ?? PATIENT_DEADLINE_MS) >= PATIENT_DEADLINE_MS;
  const tries = isPatient ? RUNS : IMPATIENT_RUNS;
  const longest = apps.map((_, app) => {
    const push: Push = {
      ...{ push: -1 - app, apps: [app], caller: `traffic ${app}`, client: "identified" },
      ...{ place: 1, isolate: 0, gap: 20, uploads: 3_000, tries, pause: RUN_AGAIN_MS },
    };
    kernel.after(app * TRAFFIC_PAUSE_MS, () =>
      pushes.begin(push, (ending) => judge.pushes.stuck(push.push, ending)),
    );
    return tries * (runMaxMs(push, settings) + RUN_AGAIN_MS);
  });
  await kernel.run(kernel.now + apps.length * TRAFFIC_PAUSE_MS + Math.max(...longest));
}

/** All faults are long past: everything is right. */
async function lastLook(world: World): Promise<void> {
  const { kernel, judge, pool, settings } = world;
  const keys = pool.files.map(keyOf);
  // The cache is to know by itself.
  world.controller.troubles.push({ from: kernel.now, until: Infinity, how: "error" });
  for (const isolate of world.running()) world.ask(isolate, keys);
  for (let place = 0; place < settings.places; place++) world.ask(world.newIsolate(place), keys);
  await kernel.run(kernel.now + 60_000);
  let pages = 0;
  world.call(
    0,
    "page",
    () => [undefined],
    (outcome) => {
      pages += 1;
      const resources = "value" in outcome ? (outcome.value as { resources: string[] }).resources : [];
      judge.paged(resources);
      if (settings.hasCloudController) judge.pushes.contradicted(resources);
    },
  );
  await kernel.run(kernel.now + 60_000);
  if (pages === 0) judge.paged([]);
  const findings = new FinalCheck(world).findings();
  if (findings.length === 0) return;
  // What has just been superseded lies there for an hour: only what is found twice is wrong.
  await kernel.run(kernel.now + SUPERSEDED_MAX_MS);
  const again = new Set(new FinalCheck(world).findings().map(({ text }) => text));
  for (const finding of findings) if (again.has(finding.text)) judge.violated(finding.rule, finding.text);
}

function perform(world: World, deed: Deed): void {
  const { kernel, pool, weather, operator } = world;
  const files = (numbers: readonly number[]) => numbers.flatMap((number) => pool.files[number] ?? []);
  const until = kernel.now + ("lasts" in deed ? deed.lasts : 0);
  const from = kernel.now;
  const minimumSize = Number(world.settings.variables.MINIMUM_SIZE ?? 0);
  switch (deed.do) {
    case "ask": {
      const keys = files(deed.files).map(({ sha1, size }) => `${sha1}:${deed.madeUp ? size + 1 : size}`);
      const padding = Array.from(
        { length: deed.padding ?? 0 },
        (_, index) => `${index.toString(16).padStart(40, "f")}:${minimumSize + 1}`,
      );
      const { hangsUpAfter } = deed;
      world.ask(world.isolate(deed.place, deed.isolate), [...keys, ...padding], {
        ...(hangsUpAfter === undefined ? {} : { hangsUpAfter }),
      });
      break;
    }
    case "put":
    case "delete":
      for (const file of files([deed.file])) world.change(file, deed.do === "put");
      break;
    case "add":
      operator.add(files(deed.files), deed.tellsAfter, deed.clock);
      break;
    case "remove":
      operator.remove(files(deed.files), deed.tellsAfter, deed.clock);
      break;
    case "sync":
      operator.sync(deed.tellsAfter, deed.clock, deed.prunes);
      break;
    case "push":
      world.pushes.begin(deed);
      break;
    case "misfortune":
      world.pushes.befall(deed);
      break;
    case "lose": {
      const then = deed.how === "restore" ? kernel.now - deed.since : 0;
      const lost = new Set(deed.how === "some" ? files(deed.lost) : []);
      const { how } = deed;
      world.lose((file) =>
        how === "restore"
          ? pool.hadAt(file.sha1, then)
          : how === "some" && pool.has(file.sha1) && !lost.has(file),
      );
      break;
    }
    case "publish":
      world.publish();
      break;
    case "forget":
      world.call(
        0,
        deed.do,
        () => [],
        () => {},
      );
      break;
    case "deploy":
      world.deploy(deed.prefix, deed.overlap);
      break;
    case "freeze": {
      const isolate = world.isolate(deed.place, deed.isolate);
      isolate.trouble(deed.events, () => {
        kernel.note(`${isolate.name} freezes`);
        isolate.freeze(kernel.now, kernel.now + deed.lasts);
      });
      break;
    }
    case "kill": {
      const isolate = world.isolate(deed.place, deed.isolate);
      isolate.trouble(deed.events, () => {
        kernel.note(`${isolate.name} dies`);
        isolate.kill();
      });
      break;
    }
    case "restart":
      world.judge.disturbed(from, from);
      world.restart(deed.events, { written: deed.written, sent: deed.sent });
      break;
    case "kv-reads":
      weather.add({ kind: "reads", place: deed.place, how: deed.how, share: deed.share, from, until });
      break;
    case "kv-writes":
      weather.add({ kind: "writes", how: deed.how, share: deed.share, from, until });
      break;
    case "kv-lag":
      weather.add({ kind: "lag", place: deed.place, ms: deed.by, share: deed.share, from, until });
      break;
    case "cloud-controller":
      world.controller.troubles.push({ from, until, how: deed.how });
      break;
    case "bucket":
      world.bucket.troubles.push({ from, until, how: deed.how });
      break;
    case "alarms-stand":
      world.judge.silenced(from, until);
      world.standAlarms(until);
      break;
    case "network":
      world.judge.disturbed(from, until);
      world.network.push({ from, until, how: deed.how, share: deed.share });
      break;
    case "kv-null":
      weather.loseManifest(deed.place);
      break;
    case "sessions":
      world.sessionSpells.push({ ...deed, from, until });
      break;
    case "reset-sessions":
      world.resetSessions(deed.caller, deed.events, { written: deed.written, sent: deed.sent });
  }
}
