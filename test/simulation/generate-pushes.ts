import type { Random } from "./random.ts";
import type { App, Deed, Misfortune, Operation, Push, Settings } from "./schedule.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const CALLERS = ["ci", "ann", "bob"];
const MODES = { "0644": 12, "0755": 2, "100644": 2, "0444": 3, "100444": 1 };
const MISFORTUNES = {
  "cloud-controller-error": 3,
  "cloud-controller-hang": 2,
  "cloud-controller-cut": 1,
  "cloud-controller-slow": 3,
  "kv-fail": 2,
  "kv-hang": 1,
  "kv-slow": 1,
  isolate: 3,
  elsewhere: 3,
  memory: 2,
  learned: 3,
  publication: 2,
  wipe: 1,
} satisfies Record<Misfortune, number>;

/** Apps that share contents: within a request, from one request to the next, and among each other. */
export function appsOf(files: number, random: Random): App[] {
  const count = random.integer(1, 3);
  return Array.from({ length: count }, () => {
    const requests = Number(random.weighted({ "1": 2, "2": 6, "3": 3 }));
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
  return {
    push: random.integer(1, 999_999),
    app: random.integer(0, (settings.apps?.length ?? 1) - 1),
    caller: random.pick(CALLERS),
    place,
    isolate,
    gap: random.integer(0, random.pick([20, 2_000, 20_000])),
    uploads: random.integer(100, random.pick([2, 20, 90]) * SECOND_MS),
    tries: random.integer(1, 3),
    pause: random.integer(0, random.pick([5, 40, 300]) * SECOND_MS),
  };
}

export function drawLoss(settings: Settings, random: Random): Deed {
  const all = [...Array(settings.files).keys()];
  switch (random.weighted({ wipe: 4, some: 4, restore: 2 })) {
    case "wipe":
      return { do: "lose", how: "wipe" };
    case "some":
      return { do: "lose", how: "some", lost: random.some(all, random.pick([0.01, 0.2, 0.5])) };
    case "restore":
      return { do: "lose", how: "restore", since: random.integer(1, random.pick([2, 60, 600])) * MINUTE_MS };
  }
}

/** What befalls a push, and who pushes beside it. */
export function aroundPush(at: number, push: Push, settings: Settings, random: Random): Operation[] {
  const requests = settings.apps?.[push.app]?.length ?? 1;
  const befalls = Array.from(
    { length: random.pick([0, 0, 0, 1, 1, 1, 2, 2, 3]) },
    (): Operation => ({
      at,
      do: "misfortune",
      push: push.push,
      request: random.integer(0, requests - 1),
      what: random.weighted(MISFORTUNES),
    }),
  );
  const beside: Operation[] = [];
  if (random.chance(0.35)) {
    const other = drawPush(settings, push.place, random.integer(0, settings.isolates - 1), random);
    const isSame = random.chance(0.6);
    beside.push({
      at: at + random.integer(0, random.pick([1, 10, 60]) * SECOND_MS),
      do: "push",
      ...other,
      caller: random.chance(0.6) ? push.caller : other.caller,
      app: isSame ? push.app : other.app,
    });
  }
  return [...befalls, ...beside];
}

/** Who pushes once the pool has lost something. */
export function afterLoss(at: number, settings: Settings, random: Random): Operation[] {
  return Array.from({ length: random.integer(1, 2) }, (): Operation => {
    const place = random.integer(0, settings.places - 1);
    return {
      at: at + random.integer(0, random.pick([5, 200]) * SECOND_MS),
      do: "push",
      ...drawPush(settings, place, random.integer(0, settings.isolates - 1), random),
    };
  });
}
