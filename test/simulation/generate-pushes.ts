import type { Random } from "./random.ts";
import {
  type Action,
  ALL_CALLERS,
  type App,
  type Client,
  type Edit,
  type Operation,
  type Push,
  type RequestFault,
  type Settings,
} from "./schedule.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
export const CALLERS = ["ci", "ann", "bob"];
const MODES = { "0644": 12, "0755": 2, "100644": 2, "0444": 3, "100444": 1 };
const CLIENTS = {
  identified: 10,
  pinned: 1.5,
  "id-removed": 1,
  "old-cf": 1,
  "old-cf-traced": 1.5,
} satisfies Record<Client, number>;
/** Requests of an app. Apps of many requests are rare, because they take long to simulate. */
const REQUESTS = { "1": 2, "2": 6, "3": 3, "5": 0.5, "9": 0.3 };
const REQUEST_FAULTS = {
  "cloud-controller-error": 3,
  "cloud-controller-hang": 2,
  "cloud-controller-cut": 1,
  "cloud-controller-slow": 3,
  "kv-fail": 2,
  "kv-hang": 1,
  "kv-slow": 1,
  "manifest-miss": 1,
  "other-isolate": 3,
  "other-place": 3,
  "sessions-restart": 1,
  "sessions-crash": 3,
  "sessions-lost": 1,
  "sessions-reply-lost": 2,
  "sessions-hang": 1,
  "sessions-slow": 2,
  "files-reported": 3,
  "snapshot-published": 2,
  "pool-wiped": 1,
  deploy: 1,
} satisfies Partial<Record<RequestFault, number>>;

/** Draws apps that share contents: within a request, between requests, and with each other. */
export function appsOf(files: number, random: Random): App[] {
  const count = random.integer(1, 3);
  return Array.from({ length: count }, () => {
    const requests = Number(random.weighted(REQUESTS));
    const app: App = Array.from({ length: requests }, () => []);
    const contents = random.some([...Array(files).keys()], random.pick([0.3, 0.7, 1]));
    for (const file of contents) {
      for (const request of random.some(app, random.pick([0.1, 0.6]))) {
        const copies = random.chance(0.1) ? 2 : 1;
        for (let copy = 0; copy < copies; copy++) request.push([file, random.weighted(MODES)]);
      }
    }
    return app;
  });
}

export function drawPush(settings: Settings, place: number, isolate: number, random: Random): Push {
  const app = random.integer(0, (settings.apps?.length ?? 1) - 1);
  const push = {
    push: random.integer(1, 999_999),
    apps: random.chance(0.15) ? drawManifestApps(app, settings, random) : [app],
    caller: random.pick(CALLERS),
    client: random.weighted(CLIENTS),
    place,
    isolate,
    gapMs: random.integer(0, random.pick([20, 2_000, 20_000, 90_000])),
    uploadMs: random.integer(100, random.pick([2, 20, 90]) * SECOND_MS),
    maxRuns: random.integer(1, 3),
    retryPauseMs: random.integer(0, random.pick([5, 40, 300]) * SECOND_MS),
  };
  if (push.maxRuns === 1 || random.chance(0.8)) return push;
  return { ...push, edit: drawEdit(settings.apps?.[app] ?? [], settings.files, random) };
}

/** Two or three apps; some may be the same. */
function drawManifestApps(app: number, { apps = [] }: Settings, random: Random): number[] {
  return [app, ...Array.from({ length: random.integer(1, 2) }, () => random.integer(0, apps.length - 1))];
}

function drawEdit(app: App, files: number, random: Random): Edit {
  return {
    how: random.pick(["add", "drop", "replace"] as const),
    request: random.integer(0, app.length - 1),
    file: random.integer(0, files - 1),
  };
}

export function drawFileLoss(settings: Settings, random: Random): Action {
  const all = [...Array(settings.files).keys()];
  switch (random.weighted({ wipe: 4, some: 4, restore: 2 })) {
    case "wipe":
      return { type: "lose", how: "wipe" };
    case "some":
      return { type: "lose", how: "some", lostFiles: random.some(all, random.pick([0.01, 0.2, 0.5])) };
    case "restore":
      return {
        type: "lose",
        how: "restore",
        ageMs: random.integer(1, random.pick([2, 60, 600])) * MINUTE_MS,
      };
  }
}

/** Faults in requests of a push, and perhaps another push at the same time. */
export function faultsAndConcurrentPush(
  at: number,
  push: Push,
  settings: Settings,
  random: Random,
): Operation[] {
  const requests = push.apps.flatMap((app) => settings.apps?.[app] ?? []).length;
  const operations = Array.from(
    { length: random.pick([0, 0, 0, 1, 1, 1, 2, 2, 3]) },
    (): Operation => ({
      at,
      type: "request-fault",
      push: push.push,
      request: random.integer(0, requests - 1),
      what: random.weighted(REQUEST_FAULTS),
    }),
  );
  if (random.chance(0.35)) {
    const other = drawPush(settings, push.place, random.integer(0, settings.isolates - 1), random);
    const isSameApp = random.chance(0.6);
    operations.push({
      at: at + random.integer(0, random.pick([1, 10, 60]) * SECOND_MS),
      type: "push",
      ...other,
      ...(random.chance(0.6) ? { caller: push.caller, client: push.client } : {}),
      ...(isSameApp ? { apps: push.apps } : {}),
    });
  }
  return operations;
}

/** Pushes shortly after the pool has lost files. */
export function pushesAfterLoss(at: number, settings: Settings, random: Random): Operation[] {
  return Array.from({ length: random.integer(1, 2) }, (): Operation => {
    const place = random.integer(0, settings.places - 1);
    return {
      at: at + random.integer(0, random.pick([5, 200]) * SECOND_MS),
      type: "push",
      ...drawPush(settings, place, random.integer(0, settings.isolates - 1), random),
    };
  });
}

/** A push of a caller whose session object has a fault. */
export function pushesDuringSessionFault(
  at: number,
  caller: string,
  settings: Settings,
  random: Random,
): Operation[] {
  const place = random.integer(0, settings.places - 1);
  const push = drawPush(settings, place, random.integer(0, settings.isolates - 1), random);
  return [
    {
      at: Math.max(0, at + random.integer(-100, 1) * random.pick([10, 500])),
      type: "push",
      ...push,
      ...(caller === ALL_CALLERS ? {} : { caller }),
    },
  ];
}
