import type { Resource } from "./platform/code-under-test.ts";
import type { App, Misfortune, Push } from "./schedule.ts";
import type { World } from "./world.ts";

/** The most that cf CLI asks for in one request: by so many the Worker knows that others follow. */
const RESOURCES_PER_REQUEST = 5_000;
/** An isolate that died never answers. */
const ANSWERED_MAX_MS = 120_000;
/** The Cloud Controller neither takes nor gives a file whose owner can't read and write it. */
const READABLE_AND_WRITABLE = 0o600;
const PERMISSIONS = 0o777;

/** Too small to match: they make a request one of 5,000, and cost next to nothing. */
const FILLER: Resource[] = Array.from({ length: RESOURCES_PER_REQUEST }, (_, index) => ({
  checksum: { value: index.toString(16).padStart(40, "f") },
  size_in_bytes: 1,
  path: `small/${index}`,
}));

const SMALL = FILLER[0] as Resource;

/** How a try of a push has ended. Of "gone": a claimed file was not in the pool when the package was assembled. */
export type Ending = "well" | "gone" | "refused mode" | "error" | "no answer";

export interface Try {
  push: Push;
  number: number;
  startedAt: number;
  /** When each request was sent. */
  askedAt: number[];
  requestIds: string[];
  /** Checksums that any answer listed. */
  matched: Set<string>;
  /** By path. */
  claims: Map<string, Resource>;
  endedAt: number;
  ending?: Ending;
}

/** The files of an app as cf CLI asks for them, request by request. */
export function requestsOf(app: App, world: World): Resource[][] {
  const last = app.length - 1;
  const requests = app.map((files, request) => {
    const resources = files.map(([number, mode], index): Resource => {
      const file = world.pool.files[number];
      const path = `${request}/${index}`;
      return file ? { checksum: { value: file.sha1 }, size_in_bytes: file.size, path, mode } : SMALL;
    });
    return request === last
      ? resources
      : [...resources, ...FILLER.slice(0, RESOURCES_PER_REQUEST - resources.length)];
  });
  return requests.filter((resources) => resources.length > 0);
}

export const isPoolable = ({ mode }: Resource) =>
  (Number.parseInt(mode ?? "0", 8) & PERMISSIONS) >= READABLE_AND_WRITABLE;

/** Pushes as cf CLI does: the checksums of all answers say what is not uploaded, but only what was listed is claimed. */
export class PushClient {
  readonly #world: World;
  readonly #misfortunes: { push: number; request: number; what: Misfortune }[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  befall(misfortune: { push: number; request: number; what: Misfortune }): void {
    this.#misfortunes.push(misfortune);
  }

  /** @param done is told of the last try */
  begin(push: Push, done: (last: Try) => void = () => {}, number = 1): void {
    const { kernel, settings, judge } = this.#world;
    const app = settings.apps?.[push.app];
    if (!app) return;
    const requests = requestsOf(app, this.#world);
    const running: Try = {
      push,
      number,
      startedAt: kernel.now,
      askedAt: [],
      requestIds: [],
      matched: new Set(),
      claims: new Map(),
      endedAt: Number.POSITIVE_INFINITY,
    };
    judge.pushes.began(running);
    const end = (ending: Ending) => {
      if (running.ending) return;
      Object.assign(running, { ending, endedAt: kernel.now });
      kernel.note(`${nameOf(running)} of ${push.caller} ends: ${ending}`);
      judge.pushes.ended(running, requests);
      if (ending === "well" || number >= push.tries) return done(running);
      kernel.after(push.pause, () => this.begin(push, done, number + 1));
    };
    const next = (request: number) => {
      if (request < requests.length) this.#ask(running, requests, request, next, end);
      else kernel.after(push.uploads, () => this.#assemble(running, requests.flat(), end));
    };
    next(0);
  }

  #ask(
    running: Try,
    requests: readonly Resource[][],
    request: number,
    next: (request: number) => void,
    end: (ending: Ending) => void,
  ): void {
    const { kernel } = this.#world;
    const requestId = `${nameOf(running)}, request ${request + 1}`;
    if (running.number === 1) this.#strike(running.push, request, requestId);
    const { place, isolate: slot, caller, gap } = running.push;
    const isolate = this.#world.isolate(this.#placeOf(running, request, place), slot);
    const resources = requests[request] as Resource[];
    running.askedAt.push(kernel.now);
    running.requestIds.push(requestId);
    kernel.note(`${requestId} of ${caller} to ${isolate.name}`);
    let isAnswered = false;
    this.#world.askFor(isolate, { requestId, caller, resources }, ({ status, listed }) => {
      isAnswered = true;
      if (status >= 400) return end("error");
      for (const resource of listed) {
        running.matched.add(resource.checksum.value);
        running.claims.set(resource.path ?? "", resource);
      }
      kernel.after(gap, () => next(request + 1));
    });
    kernel.after(ANSWERED_MAX_MS, () => {
      if (!isAnswered) end("no answer");
    });
  }

  /** What was uploaded goes into the pool before anything is taken out of it. */
  #assemble({ claims, matched }: Try, files: readonly Resource[], end: (ending: Ending) => void): void {
    const { pool } = this.#world;
    for (const file of files) {
      const known = matched.has(file.checksum.value) ? undefined : pool.find(file.checksum.value);
      if (known && isPoolable(file)) this.#world.change(known, true);
    }
    const claimed = [...claims.values()];
    const isThere = claimed.every(({ checksum }) => pool.has(checksum.value));
    if (claimed.every(isPoolable)) end(isThere ? "well" : "gone");
    else end("refused mode");
  }

  #placeOf({ push, number }: Try, request: number, place: number): number {
    if (number > 1) return place;
    const moves = this.#misfortunesOf(push, (at) => at <= request).filter((what) => what === "elsewhere");
    return (place + moves.length) % this.#world.settings.places;
  }

  #misfortunesOf({ push }: Push, isMeant: (request: number) => boolean): Misfortune[] {
    return this.#misfortunes
      .filter((misfortune) => misfortune.push === push && isMeant(misfortune.request))
      .map(({ what }) => what);
  }

  /** Misfortunes come after the answer before this request, or while it is answered. */
  #strike(push: Push, request: number, requestId: string): void {
    const { controller, weather, pool, operator } = this.#world;
    for (const what of this.#misfortunesOf(push, (at) => at === request)) {
      this.#world.kernel.note(`${requestId}: ${what}`);
      switch (what) {
        case "cloud-controller-error":
        case "cloud-controller-hang":
        case "cloud-controller-cut":
        case "cloud-controller-slow":
          controller.befallen.set(requestId, what.slice("cloud-controller-".length) as "error");
          break;
        case "kv-fail":
        case "kv-hang":
        case "kv-slow":
          // An isolate that knows everything needs no KV.
          this.#world.replaceIsolate(push.place, push.isolate);
          weather.befall(requestId, push.place, what.slice("kv-".length) as "fail");
          break;
        case "isolate":
          this.#world.replaceIsolate(push.place, push.isolate);
          break;
        case "memory":
          this.#world.endMemory(push.caller);
          break;
        case "learned":
          operator.add(pool.files, 0, 0);
          break;
        case "publication":
          this.#world.publish();
          break;
        case "wipe":
          this.#world.lose(() => false);
          break;
        case "elsewhere":
      }
    }
  }
}

function nameOf({ push, number }: Try): string {
  return `push ${push.push}.${number}`;
}
