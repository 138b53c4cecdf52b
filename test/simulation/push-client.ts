import { ANSWERED_MAX_MS } from "./limits.ts";
import type { Resource } from "./platform/code-under-test.ts";
import type { Answer, Question } from "./platform/isolate.ts";
import { RESOURCES_PER_REQUEST, RequestBody } from "./request-body.ts";
import { isPoolable } from "./resources.ts";
import type { App, Client, Edit, Misfortune, Push } from "./schedule.ts";
import type { Asked } from "./sessions.ts";
import type { World } from "./world.ts";

const CF = "cf/8.18.4+2c1ab9d.2026-10-12 (go1.26.1; amd64 linux)";
/** The last one that sends no id of the run. */
const OLD_CF = "cf/8.11.0+b3d5a4e.2025-01-28 (go1.23.5; amd64 linux)";
/** The value of CF_B3_TRACE_ID in a pipeline. */
const PINNED_ID = "5ca1ab1e".repeat(4);
/** What a deployment takes until the last isolate of the version before is gone. */
const OVERLAP_MS = 60_000;

/**
 * How the push of an app has ended. Of "gone": a matched file was not in the pool when the package was assembled. Of
 * "no answer": Cloudflare has answered 524 in place of the Worker.
 */
export type Ending = "well" | "gone" | "refused mode" | "error" | "no answer";

/** One run of cf, which pushes the apps of a manifest. */
export interface Run {
  push: Push;
  /** Counts from 1. */
  number: number;
  traceId: string;
  startedAt: number;
  /** Sent so far. */
  requests: number;
}

/** What one run of cf does with one app. */
export interface AppPush {
  run: Run;
  name: string;
  app: App;
  startedAt: number;
  asked: Asked[];
  /** Checksums that any answer listed. */
  matched: Set<string>;
  /** What the package takes from the pool, by path. */
  listed: Map<string, Resource>;
  endedAt: number;
  ending?: Ending;
}

/** The files of an app as cf CLI asks for them, request by request. */
export function requestsOf(app: App, world: World): RequestBody[] {
  const last = app.length - 1;
  const requests = app.map((files, request) => {
    const resources = files.map(([number, mode], index): Resource => {
      const file = world.pool.files[number];
      const path = `${request}/${index}`;
      const { sha1, size } = file ?? { sha1: number.toString(16).padStart(40, "e"), size: 1 };
      return { checksum: { value: sha1 }, size_in_bytes: size, path, mode };
    });
    return new RequestBody(resources, request === last ? resources.length : RESOURCES_PER_REQUEST);
  });
  return requests.filter(({ count }) => count > 0);
}

/** An app as it is after somebody has worked on it. */
export function edited(app: App, { how, request, file }: Edit): App {
  return app.map((files, index) => {
    if (index !== request) return files;
    if (how === "add") return [...files, [file, "0644"] as const];
    return how === "drop" ? files.slice(1) : [[file, "0644"] as const, ...files.slice(1)];
  });
}

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

  /** @param done is told how the last run has ended */
  begin(push: Push, done: (last: Ending) => void = () => {}, number = 1): void {
    const { kernel } = this.#world;
    const traceId = hexOf(kernel.random.fork(`run ${push.push}.${number}`));
    const run: Run = { push, number, traceId, startedAt: kernel.now, requests: 0 };
    const end = (ending: Ending) => {
      if (ending === "well" || number >= push.tries) return done(ending);
      kernel.after(push.pause, () => this.begin(push, done, number + 1));
    };
    const next = (index: number) => {
      if (index >= push.apps.length) return end("well");
      this.#push(run, index, (ending) => (ending === "well" ? next(index + 1) : end(ending)));
    };
    next(0);
  }

  #push(run: Run, index: number, done: (ending: Ending) => void): void {
    const { kernel, settings, judge } = this.#world;
    const { push, number } = run;
    const named = settings.apps?.[push.apps[index] as number];
    if (!named) return;
    const app = push.edit && number > 1 && index === 0 ? edited(named, push.edit) : named;
    const requests = requestsOf(app, this.#world);
    const pushed: AppPush = {
      ...{ run, app, name: `push ${push.push}.${number}${index > 0 ? `/${index + 1}` : ""}` },
      ...{ startedAt: kernel.now, asked: [], matched: new Set(), listed: new Map() },
      endedAt: Number.POSITIVE_INFINITY,
    };
    judge.pushes.began(pushed);
    const end = (ending: Ending) => {
      if (pushed.ending) return;
      Object.assign(pushed, { ending, endedAt: kernel.now });
      kernel.note(`${pushed.name} of ${push.caller} ends: ${ending}`);
      judge.pushes.ended(pushed, requests);
      done(ending);
    };
    const next = (request: number) => {
      if (pushed.ending) return;
      const body = requests[request];
      if (body) return this.#ask(pushed, body, () => next(request + 1), end);
      const files = requests.flatMap(({ resources }) => resources);
      kernel.after(push.uploads, () => this.#assemble(pushed, files, end));
    };
    next(0);
  }

  #ask(pushed: AppPush, body: RequestBody, next: () => void, end: (ending: Ending) => void): void {
    const { kernel, judge } = this.#world;
    const { run } = pushed;
    const { push } = run;
    const request = run.requests;
    run.requests += 1;
    const requestId = `push ${push.push}.${run.number}, request ${request + 1}`;
    const place = this.#placeOf(run, request);
    if (run.number === 1) this.#strike(push, place, request, requestId);
    const isolate = this.#world.isolate(place, push.isolate);
    kernel.note(`${requestId} of ${push.caller} to ${isolate.name}`);
    let isAnswered = false;
    const question: Question = {
      requestId,
      caller: push.caller,
      ...this.#identityOf(run, request),
      body,
    };
    const answered = ({ status, listed }: Answer) => {
      if (pushed.ending) return;
      isAnswered = true;
      if (status >= 400) return end("error");
      for (const resource of listed) {
        pushed.matched.add(resource.checksum.value);
        pushed.listed.set(resource.path ?? "", resource);
      }
      kernel.after(push.gap, next);
    };
    pushed.asked.push(this.#world.askFor(isolate, question, answered).asked);
    kernel.after(ANSWERED_MAX_MS, () => {
      if (isAnswered) return;
      judge.gone.add(requestId);
      end("no answer");
    });
  }

  #identityOf({ push, number, traceId }: Run, request: number): Pick<Question, "headers" | "pushId"> {
    const { random } = this.#world.kernel;
    const span = (id: string) => ({ "X-B3-TraceId": id, "X-B3-SpanId": id.slice(16) });
    const client: Client = push.client;
    switch (client) {
      case "identified":
        return { headers: { "User-Agent": CF, ...span(traceId) }, pushId: traceId };
      case "pinned":
        return { headers: { "User-Agent": CF, ...span(PINNED_ID) }, pushId: PINNED_ID };
      case "stripped":
        return { headers: { "User-Agent": CF }, pushId: undefined };
      case "old":
        return { headers: { "User-Agent": OLD_CF }, pushId: undefined };
      case "old-traced": {
        const id = hexOf(random.fork(`request ${push.push}.${number} ${request}`));
        return { headers: { "User-Agent": OLD_CF, ...span(id) }, pushId: undefined };
      }
    }
  }

  /** What was uploaded goes into the pool before anything is taken out of it. */
  #assemble({ listed, matched }: AppPush, files: readonly Resource[], end: (ending: Ending) => void): void {
    const { pool } = this.#world;
    for (const file of files) {
      const known = matched.has(file.checksum.value) ? undefined : pool.find(file.checksum.value);
      if (known && isPoolable(file)) this.#world.change(known, true);
    }
    const claimed = [...listed.values()];
    const isThere = claimed.every(({ checksum }) => pool.has(checksum.value));
    if (claimed.every(isPoolable)) end(isThere ? "well" : "gone");
    else end("refused mode");
  }

  #placeOf({ push, number }: Run, request: number): number {
    if (number > 1) return push.place;
    const moves = this.#misfortunesOf(push, (at) => at <= request).filter((what) => what === "elsewhere");
    return (push.place + moves.length) % this.#world.settings.places;
  }

  #misfortunesOf({ push }: Push, isMeant: (request: number) => boolean): Misfortune[] {
    return this.#misfortunes
      .filter((misfortune) => misfortune.push === push && isMeant(misfortune.request))
      .map(({ what }) => what);
  }

  /** Misfortunes come after the answer before this request, or while it is answered. */
  #strike(push: Push, place: number, request: number, requestId: string): void {
    const { controller, weather, pool, operator, kernel, sessionMisfortunes } = this.#world;
    const random = kernel.random.fork(`misfortune of ${requestId}`);
    for (const what of this.#misfortunesOf(push, (at) => at === request)) {
      kernel.note(`${requestId}: ${what}`);
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
          this.#world.replaceIsolate(place, push.isolate);
          weather.befall(requestId, place, what.slice("kv-".length) as "fail");
          break;
        case "manifest-missing":
          this.#world.replaceIsolate(place, push.isolate);
          weather.loseManifest(place, requestId);
          break;
        case "isolate":
          this.#world.replaceIsolate(place, push.isolate);
          break;
        case "sessions-restart":
          this.#world.resetSessions(push.caller, 0, { written: 1, sent: true });
          break;
        case "sessions-reset":
          this.#world.resetSessions(push.caller, random.integer(1, 6), {
            written: random.pick([0, 0.5, 1, 1]),
            sent: random.chance(0.3),
          });
          break;
        case "sessions-lost":
        case "sessions-reply-lost":
          sessionMisfortunes.set(requestId, { how: what.slice("sessions-".length) as "lost", calls: 1 });
          break;
        case "sessions-hang":
        case "sessions-slow":
          sessionMisfortunes.set(requestId, {
            how: what.slice("sessions-".length) as "hang",
            calls: Infinity,
          });
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
        case "deploy":
          this.#world.deploy(this.#world.prefix, OVERLAP_MS);
          break;
        case "elsewhere":
      }
    }
  }
}

/** 32 hex digits. */
function hexOf(random: { integer(minimum: number, maximum: number): number }): string {
  return Array.from({ length: 32 }, () => random.integer(0, 15).toString(16)).join("");
}
