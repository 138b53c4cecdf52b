import {
  afterLoss,
  appsOf,
  aroundPush,
  CALLERS,
  drawLoss,
  drawPush,
  duringTrouble,
} from "./generate-pushes.ts";
import { PROFILES, type Profile, type ProfileName } from "./profiles.ts";
import { Random } from "./random.ts";
import { type Deed, EVERYBODY, type Operation, type Schedule, type Settings } from "./schedule.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const PLENTY = 100_000;
const PREFIXES = ["", "v2/", "cf-prod/"];

/** The schedule of a seed. */
export function generate(name: ProfileName, seed: number): Schedule {
  const profile: Profile = PROFILES[name];
  const random = new Random(`${name} ${seed}`);
  const settings = settingsOf(name, profile, random.fork("settings"));
  const operations: Operation[] = [];
  const count = random.integer(...profile.operations);
  if (random.chance(0.6)) operations.push(...filled(settings));
  let at = 0;
  for (let index = 0; index < count; index++) {
    at += pause(random);
    const deed = draw(random.weighted(profile.weights), settings, random);
    operations.push({ at, ...deed });
    operations.push(...askedLater(at, deed, settings, random));
    if (random.chance(0.6)) operations.push(...companions(at, deed, settings, random));
  }
  return { settings, operations: operations.toSorted((one, other) => one.at - other.at) };
}

/** A pool that holds everything from the beginning, and a cache that knows. */
function filled({ files }: Settings): Operation[] {
  const all = Array.from({ length: files }, (_, file) => file);
  return [
    ...all.map((file): Operation => ({ at: 0, do: "put", file })),
    { at: 0, do: "add", files: all, tellsAfter: 0, clock: 0 },
  ];
}

/** What makes the most of a trouble: news of a file just before, during and after it, and somebody who asks. */
function companions(at: number, deed: Deed, settings: Settings, random: Random): Operation[] {
  const files = [random.integer(0, settings.files - 1)];
  const spread = random.pick([2, 12, 40]) * SECOND_MS;
  const near = (from: number, until: number) =>
    Math.max(0, at + Math.floor(from + random.next() * (until - from)));
  const tell = (time: number): Operation =>
    random.chance(0.5)
      ? { at: time, do: "remove", files, tellsAfter: 0, clock: 0 }
      : { at: time, do: "add", files, tellsAfter: 0, clock: 0 };
  const place = "place" in deed ? deed.place : random.integer(0, settings.places - 1);
  const isolate = "isolate" in deed ? deed.isolate : random.integer(0, settings.isolates - 1);
  const ask = (time: number, padding = 0): Operation => ({
    at: time,
    do: "ask",
    place,
    isolate,
    files,
    padding,
  });
  const lasts = "lasts" in deed ? deed.lasts : 0;
  switch (deed.do) {
    case "push":
      return aroundPush(at, deed, settings, random);
    case "lose":
      return afterLoss(at, settings, random);
    case "sessions":
    case "reset-sessions":
      return duringTrouble(at, deed.caller, settings, random);
    case "freeze":
    case "kill":
      return [
        ask(near(-40_000, 0)),
        ask(near(0, 100), 1),
        tell(near(0, spread)),
        ask(near(lasts, lasts + 2_000)),
      ];
    case "restart":
      return [
        { at: near(-8_000, 0), do: "put", file: files[0] ?? 0 },
        tell(near(-6_000, 500)),
        tell(near(-6_000, spread)),
        ask(near(200_000, 260_000)),
      ];
    case "kv-writes":
    case "kv-lag":
    case "network":
      return [
        tell(near(0, spread)),
        tell(near(spread, 2 * spread)),
        ask(near(lasts + 200_000, lasts + 300_000)),
      ];
    case "kv-reads":
      return [tell(near(-60_000, 0)), ask(near(0, lasts)), ask(near(lasts, lasts + 200_000))];
    case "kv-null":
      return [tell(near(-300_000, -200_000)), ask(near(0, 100)), ask(near(0, 60_000))];
    case "alarms-stand":
      return [tell(near(0, lasts / 2)), ask(near(0.6 * lasts, lasts)), ask(near(0.6 * lasts, lasts))];
    case "deploy":
    case "forget":
    case "publish":
      return [
        ask(near(-20_000, 0)),
        tell(near(-20_000, 0)),
        tell(near(0, spread)),
        ask(near(190_000, 300_000)),
      ];
    default:
      return [];
  }
}

function settingsOf(name: ProfileName, profile: Profile, random: Random): Settings {
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
    kvOperationsPerDay: profile.isKvScarce && random.chance(0.15) ? random.integer(40, 300) : PLENTY,
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

function pause(random: Random): number {
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

/** Whoever tells something is asked about it when it must have become true, and later. */
function askedLater(at: number, deed: Deed, settings: Settings, random: Random): Operation[] {
  const numbers =
    "files" in deed && deed.do !== "ask"
      ? deed.files
      : "file" in deed
        ? [deed.file]
        : deed.do === "sync"
          ? [0, 1]
          : [];
  if (numbers.length === 0 || random.chance(0.3)) return [];
  const tells = "tellsAfter" in deed ? deed.tellsAfter : random.pick([0, settings.queueDelayMs]);
  const before = at + tells + random.integer(5 * SECOND_MS, 100 * SECOND_MS);
  const after = at + tells + random.integer(180 * SECOND_MS, 240 * SECOND_MS);
  const place = random.integer(0, settings.places - 1);
  const isolate = random.integer(0, settings.isolates - 1);
  const times = random.chance(0.6) ? [before, after] : [after];
  if (random.chance(0.2)) times.push(after + random.integer(MINUTE_MS, 2 * HOUR_MS));
  const asks = times.map((time): Operation => ({ at: time, do: "ask", place, isolate, files: numbers }));
  return random.chance(0.2)
    ? asks.flatMap((ask) => [ask, { ...ask, at: ask.at + random.integer(0, 50) }])
    : asks;
}

function draw(name: Deed["do"], settings: Settings, random: Random): Deed {
  const all = Array.from({ length: settings.files }, (_, index) => index);
  const place = random.integer(0, settings.places - 1);
  const isolate = random.integer(0, settings.isolates - 1);
  const files = random.some(all, random.pick([0.2, 0.5, 1]));
  const tellsAfter = random.weighted({ "0": 6, "20000": 2, "600000": 1, "21600000": 1, "100000000": 0.2 });
  const clock = random.pick([0, -5 * MINUTE_MS, 7 * HOUR_MS, 30 * 24 * HOUR_MS]);
  const told = { tellsAfter: random.integer(0, Number(tellsAfter)), clock };
  const lasts = random.pick([5, 30, 120, 900]) * SECOND_MS;
  const share = random.pick([0.3, 1]);
  const events = random.integer(0, random.pick([3, 6, 20]));
  switch (name) {
    case "ask":
      return {
        do: name,
        place,
        isolate,
        files,
        ...(random.chance(0.1) ? { padding: random.integer(50, 700) } : {}),
        ...(random.chance(0.12) ? { madeUp: true } : {}),
        ...(random.chance(0.1) ? { hangsUpAfter: random.integer(0, 100) } : {}),
      };
    case "push":
      return { do: name, ...drawPush(settings, place, isolate, random) };
    case "misfortune":
      throw new Error("a misfortune comes with its push");
    case "sessions":
      return {
        do: name,
        caller: random.pick([EVERYBODY, ...CALLERS]),
        how: random.pick(["lost", "reply-lost", "hang", "slow"] as const),
        share,
        lasts,
      };
    case "reset-sessions":
      return {
        do: name,
        caller: random.pick(CALLERS),
        events: random.integer(0, 12),
        written: random.pick([0, 0.5, 1]),
        sent: random.chance(0.5),
      };
    case "kv-null":
      return { do: name, place };
    case "lose":
      return drawLoss(settings, random);
    case "put":
    case "delete":
      return { do: name, file: random.pick(all) };
    case "add":
    case "remove":
      return { do: name, files, ...told };
    case "sync":
      return { do: name, ...told, prunes: random.chance(0.5) };
    case "publish":
    case "forget":
      return { do: name };
    case "deploy":
      return {
        do: name,
        prefix:
          settings.apps && random.chance(0.7) ? (settings.variables.KEY_PREFIX ?? "") : random.pick(PREFIXES),
        overlap: random.pick([0, 10, 300]) * SECOND_MS,
      };
    case "freeze": {
      const [least, most] = random.pick([
        [1, 60],
        [30, 300],
        [200, 3600],
      ] as const);
      return { do: name, place, isolate, events, lasts: random.integer(least, most) * SECOND_MS };
    }
    case "kill":
      return { do: name, place, isolate, events };
    case "restart":
      return { do: name, events, written: random.pick([0, 0.5, 1]), sent: random.chance(0.5) };
    case "kv-reads":
      return { do: name, place, how: random.pick(["fail", "hang", "slow"] as const), share, lasts };
    case "kv-writes":
      return {
        do: name,
        how: random.pick(["refuse", "fail", "fail-landed", "late", "hang"] as const),
        share,
        lasts,
      };
    case "kv-lag":
      return { do: name, place, by: random.integer(10, 300) * SECOND_MS, share, lasts };
    case "cloud-controller":
      return { do: name, how: random.pick(["error", "hang", "cut", "slow", "refuse"] as const), lasts };
    case "bucket":
      return { do: name, how: random.pick(["fail", "hang"] as const), lasts };
    case "alarms-stand":
      return { do: name, lasts: random.pick([MINUTE_MS, HOUR_MS, 60 * HOUR_MS]) };
    case "network":
      return { do: name, how: random.pick(["lost", "reply-lost"] as const), share, lasts };
  }
}
