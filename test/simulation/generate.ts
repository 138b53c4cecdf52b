import { failuresDuring } from "./generate-failures.ts";
import {
  appsOf,
  CALLERS,
  drawFileLoss,
  drawPush,
  faultsAndConcurrentPush,
  pushesAfterLoss,
  pushesDuringSessionFault,
} from "./generate-pushes.ts";
import { PROFILES, type Profile, type ProfileName } from "./profiles.ts";
import { Random } from "./random.ts";
import { type Action, ALL_CALLERS, type Operation, type Schedule, type Settings } from "./schedule.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const UNLIMITED = 100_000;
const PREFIXES = ["", "v2/", "cf-prod/"];

/** Draws a schedule from a seed. */
export function generate(name: ProfileName, seed: number): Schedule {
  const profile: Profile = PROFILES[name];
  const random = new Random(`${name} ${seed}`);
  const settings = drawSettings(name, profile, random.fork("settings"));
  const operations: Operation[] = [];
  const count = random.integer(...profile.operations);
  if (random.chance(0.6)) operations.push(...fillPoolAndCache(settings));
  let at = 0;
  for (let index = 0; index < count; index++) {
    at += drawPauseMs(random);
    const action = drawAction(random.weighted(profile.weights), settings, random);
    operations.push({ at, ...action });
    operations.push(...laterRequests(at, action, settings, random));
    if (random.chance(0.6)) operations.push(...relatedOperations(at, action, settings, random));
  }
  const { failures = 0 } = profile;
  for (const operation of settings.hasCloudController ? [...operations] : []) {
    if (operation.type !== "push") continue;
    // From a stream of its own, so that all other operations are the same without failures.
    const stream = random.fork(`failures of push ${operation.push}`);
    if (stream.chance(failures))
      operations.push(...failuresDuring(operation.at, operation, settings, stream));
  }
  return { settings, operations: operations.toSorted((one, other) => one.at - other.at) };
}

/** All files are in the pool from the start, and reported. */
function fillPoolAndCache({ files }: Settings): Operation[] {
  const all = Array.from({ length: files }, (_, file) => file);
  return [
    ...all.map((file): Operation => ({ at: 0, type: "put", file })),
    { at: 0, type: "add", files: all, reportDelayMs: 0, clockErrorMs: 0 },
  ];
}

/** Makes it likely that a fault matters: reports about a file just before and during it, and requests for the file. */
function relatedOperations(at: number, action: Action, settings: Settings, random: Random): Operation[] {
  const files = [random.integer(0, settings.files - 1)];
  const spread = random.pick([2, 12, 40]) * SECOND_MS;
  const near = (from: number, until: number) =>
    Math.max(0, at + Math.floor(from + random.next() * (until - from)));
  const report = (time: number): Operation => ({
    at: time,
    type: random.chance(0.5) ? "remove" : "add",
    files,
    reportDelayMs: 0,
    clockErrorMs: 0,
  });
  const place = "place" in action ? action.place : random.integer(0, settings.places - 1);
  const isolate = "isolate" in action ? action.isolate : random.integer(0, settings.isolates - 1);
  const request = (time: number, fillers = 0): Operation => ({
    at: time,
    type: "request",
    place,
    isolate,
    files,
    fillers,
  });
  const durationMs = "durationMs" in action ? action.durationMs : 0;
  switch (action.type) {
    case "push":
      return faultsAndConcurrentPush(at, action, settings, random);
    case "lose":
      return pushesAfterLoss(at, settings, random);
    case "session-calls":
    case "crash-sessions":
      return pushesDuringSessionFault(at, action.caller, settings, random);
    case "freeze":
    case "kill":
      return [
        request(near(-40_000, 0)),
        request(near(0, 100), 1),
        report(near(0, spread)),
        request(near(durationMs, durationMs + 2_000)),
      ];
    case "crash-catalog":
      return [
        { at: near(-8_000, 0), type: "put", file: files[0] ?? 0 },
        report(near(-6_000, 500)),
        report(near(-6_000, spread)),
        request(near(200_000, 260_000)),
      ];
    case "kv-writes":
    case "kv-lag":
    case "catalog-calls":
      return [
        report(near(0, spread)),
        report(near(spread, 2 * spread)),
        request(near(durationMs + 200_000, durationMs + 300_000)),
      ];
    case "kv-reads":
      return [
        report(near(-60_000, 0)),
        request(near(0, durationMs)),
        request(near(durationMs, durationMs + 200_000)),
      ];
    case "kv-manifest-miss":
      return [report(near(-300_000, -200_000)), request(near(0, 100)), request(near(0, 60_000))];
    case "alarms-paused":
      return [
        report(near(0, durationMs / 2)),
        request(near(0.6 * durationMs, durationMs)),
        request(near(0.6 * durationMs, durationMs)),
      ];
    case "deploy":
    case "forget":
    case "publish":
      return [
        request(near(-20_000, 0)),
        report(near(-20_000, 0)),
        report(near(0, spread)),
        request(near(190_000, 300_000)),
      ];
    default:
      return [];
  }
}

function drawSettings(name: ProfileName, profile: Profile, random: Random): Settings {
  const hasBucket = profile.hasBucket ?? random.chance(0.4);
  const settings: Settings = {
    seed: `${name} ${random.next()}`,
    profile: name,
    files: random.integer(2, 12),
    places: 3,
    isolates: 2,
    variables: {
      KEY_PREFIX: random.chance(0.7) ? "" : "v2/",
      KV_CACHE_TTL: random.weighted({ "60": 6, "30": 2, "300": 1, "86400": 1 }),
      KEYS_PER_DAY: random.weighted({ "500": 6, "3": 1, "0": 1 }),
      LOOKUP_DEADLINE_MS: random.weighted({ "8000": 6, "1000": 1, "60000": 1 }),
    },
    hasBucket,
    hasCloudController: profile.hasCloudController ?? random.chance(0.5),
    kvOperationsPerDay: profile.isKvScarce && random.chance(0.15) ? random.integer(40, 300) : UNLIMITED,
    queueDelayMs: random.pick([2, 20, 200]) * SECOND_MS,
    queueBacklogMs: profile.queueBacklogMs,
    queueDuplicates: profile.queueDuplicates,
    settleMs: random.weighted({ "4": 7, "27": 1 }) === "4" ? 4 * HOUR_MS : 27 * HOUR_MS,
  };
  if (!profile.weights.push) return settings;
  settings.variables.MINIMUM_SIZE = "65536";
  settings.variables.MINIMUM_FILE_MODE = "0600";
  return { ...settings, apps: appsOf(settings.files, random.fork("apps")) };
}

function drawPauseMs(random: Random): number {
  switch (random.weighted({ burst: 40, seconds: 30, minutes: 20, hour: 8, hours: 2 })) {
    case "burst":
      return random.integer(0, 3 * SECOND_MS);
    case "seconds":
      return random.integer(3 * SECOND_MS, MINUTE_MS);
    case "minutes":
      return random.integer(MINUTE_MS, 10 * MINUTE_MS);
    case "hour":
      return random.integer(10 * MINUTE_MS, 90 * MINUTE_MS);
    case "hours":
      return random.integer(2 * HOUR_MS, 30 * HOUR_MS);
  }
}

/** Requests for the files that an action has changed: before the change must be visible, and after. */
function laterRequests(at: number, action: Action, settings: Settings, random: Random): Operation[] {
  const files = changedFiles(action);
  if (files.length === 0 || random.chance(0.3)) return [];
  const delayMs = "reportDelayMs" in action ? action.reportDelayMs : random.pick([0, settings.queueDelayMs]);
  const before = at + delayMs + random.integer(5 * SECOND_MS, 100 * SECOND_MS);
  const after = at + delayMs + random.integer(180 * SECOND_MS, 240 * SECOND_MS);
  const place = random.integer(0, settings.places - 1);
  const isolate = random.integer(0, settings.isolates - 1);
  const times = random.chance(0.6) ? [before, after] : [after];
  if (random.chance(0.2)) times.push(after + random.integer(MINUTE_MS, 2 * HOUR_MS));
  const requests = times.map((time): Operation => ({ at: time, type: "request", place, isolate, files }));
  return random.chance(0.2)
    ? requests.flatMap((request) => [request, { ...request, at: request.at + random.integer(0, 50) }])
    : requests;
}

function changedFiles(action: Action): number[] {
  if ("files" in action && action.type !== "request") return action.files;
  if ("file" in action) return [action.file];
  return action.type === "sync" ? [0, 1] : [];
}

function drawAction(type: Action["type"], settings: Settings, random: Random): Action {
  const all = Array.from({ length: settings.files }, (_, index) => index);
  const place = random.integer(0, settings.places - 1);
  const isolate = random.integer(0, settings.isolates - 1);
  const files = random.some(all, random.pick([0.2, 0.5, 1]));
  const delayMaxMs = random.weighted({ "0": 6, "20000": 2, "600000": 1, "21600000": 1, "100000000": 0.2 });
  const clockErrorMs = random.pick([0, -5 * MINUTE_MS, 7 * HOUR_MS, 30 * 24 * HOUR_MS]);
  const report = { reportDelayMs: random.integer(0, Number(delayMaxMs)), clockErrorMs };
  const durationMs = random.pick([5, 30, 120, 900]) * SECOND_MS;
  const share = random.pick([0.3, 1]);
  const afterEvents = random.integer(0, random.pick([3, 6, 20]));
  switch (type) {
    case "request":
      return {
        type,
        place,
        isolate,
        files,
        ...(random.chance(0.1) ? { fillers: random.integer(50, 700) } : {}),
        ...(random.chance(0.12) ? { hasWrongSizes: true } : {}),
        ...(random.chance(0.1) ? { hangUpAfterMs: random.integer(0, 100) } : {}),
      };
    case "push":
      return { type, ...drawPush(settings, place, isolate, random) };
    case "request-fault":
    case "bug":
    case "uaa":
    case "uaa-key":
    case "misconfigure":
      throw new Error(`"${type}" is drawn with a push`);
    case "session-calls":
      return {
        type,
        caller: random.pick([ALL_CALLERS, ...CALLERS]),
        how: random.pick(["lost", "reply-lost", "hang", "slow"] as const),
        share,
        durationMs,
      };
    case "crash-sessions":
      return {
        type,
        caller: random.pick(CALLERS),
        afterEvents: random.integer(0, 12),
        writtenShare: random.pick([0, 0.5, 1]),
        areMessagesSent: random.chance(0.5),
      };
    case "kv-manifest-miss":
      return { type, place };
    case "lose":
      return drawFileLoss(settings, random);
    case "put":
    case "delete":
      return { type, file: random.pick(all) };
    case "add":
    case "remove":
      return { type, files, ...report };
    case "sync":
      return { type, ...report, prune: random.chance(0.5) };
    case "publish":
    case "forget":
      return { type };
    case "deploy": {
      const isSamePrefix = settings.apps && random.chance(0.7);
      const prefix = isSamePrefix ? (settings.variables.KEY_PREFIX ?? "") : random.pick(PREFIXES);
      return { type, prefix, overlapMs: random.pick([0, 10, 300]) * SECOND_MS };
    }
    case "freeze": {
      const [minimum, maximum] = random.pick([
        [1, 60],
        [30, 300],
        [200, 3600],
      ] as const);
      return {
        type,
        place,
        isolate,
        afterEvents,
        durationMs: random.integer(minimum, maximum) * SECOND_MS,
      };
    }
    case "kill":
      return { type, place, isolate, afterEvents };
    case "crash-catalog":
      return {
        type,
        afterEvents,
        writtenShare: random.pick([0, 0.5, 1]),
        areMessagesSent: random.chance(0.5),
      };
    case "kv-reads":
      return { type, place, how: random.pick(["fail", "hang", "slow"] as const), share, durationMs };
    case "kv-writes":
      return {
        type,
        how: random.pick(["refuse", "fail", "fail-after-write", "late", "hang"] as const),
        share,
        durationMs,
      };
    case "kv-lag":
      return { type, place, lagMs: random.integer(10, 300) * SECOND_MS, share, durationMs };
    case "cloud-controller":
      return { type, how: random.pick(["error", "hang", "cut", "slow", "refuse"] as const), durationMs };
    case "bucket":
      return { type, how: random.pick(["fail", "hang"] as const), durationMs };
    case "alarms-paused":
      return { type, durationMs: random.pick([MINUTE_MS, HOUR_MS, 60 * HOUR_MS]) };
    case "catalog-calls":
      return { type, how: random.pick(["lost", "reply-lost"] as const), share, durationMs };
  }
}
