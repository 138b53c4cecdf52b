import { CLIENT_TIMEOUT_MS } from "./limits.ts";
import type { Resource } from "./platform/code-under-test.ts";
import type { MatchCall, MatchReply } from "./platform/isolate.ts";
import type { Random } from "./random.ts";
import { RESOURCES_PER_REQUEST, RequestBody } from "./request-body.ts";
import { isPoolable } from "./resources.ts";
import type { App, Edit, Push, RequestFault } from "./schedule.ts";
import type { RequestRecord } from "./session-model.ts";
import type { World } from "./world.ts";

const CF = "cf/8.18.4+2c1ab9d.2026-10-12 (go1.26.1; amd64 linux)";
/** The last version that sends no trace id. */
const OLD_CF = "cf/8.11.0+b3d5a4e.2025-01-28 (go1.23.5; amd64 linux)";
/** The value of CF_B3_TRACE_ID in a pipeline. */
const PINNED_ID = "5ca1ab1e".repeat(4);
/** How long isolates of the previous version run after a deployment. */
const OVERLAP_MS = 60_000;

/**
 * The outcome of pushing an app. "file-missing": a matched file was not in the pool when the package was assembled.
 * "mode-refused": the Cloud Controller refuses the mode of a matched file. "push-again": the Worker responded with 409.
 * "timeout": Cloudflare responded with 524.
 */
export type PushOutcome = "success" | "file-missing" | "mode-refused" | "push-again" | "error" | "timeout";

/** One run of cf, which pushes the apps of a manifest. */
export interface Run {
  push: Push;
  /** Counts from 1. */
  number: number;
  traceId: string;
  startedAt: number;
  /** Requests sent so far. */
  requestCount: number;
}

/** The push of one app in one run of cf. */
export interface AppPush {
  run: Run;
  name: string;
  app: App;
  startedAt: number;
  requests: RequestRecord[];
  /** Checksums that any response lists. */
  matched: Set<string>;
  /** The files that the package takes from the pool, by path. */
  listed: Map<string, Resource>;
  endedAt: number;
  outcome?: PushOutcome;
}

interface PlannedFault {
  push: number;
  request: number;
  what: RequestFault;
}

/** The requests that cf CLI sends for an app. */
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

export function editApp(app: App, { how, request, file }: Edit): App {
  return app.map((files, index) => {
    if (index !== request) return files;
    if (how === "add") return [...files, [file, "0644"] as const];
    return how === "drop" ? files.slice(1) : [[file, "0644"] as const, ...files.slice(1)];
  });
}

/**
 * Pushes like cf CLI: it uploads no file whose checksum any response of the app lists, and the package takes only the
 * listed paths from the pool.
 */
export class PushClient {
  readonly #world: World;
  readonly #faults: PlannedFault[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  addFault(fault: PlannedFault): void {
    this.#faults.push(fault);
  }

  /** @param done gets the outcome of the last run */
  start(push: Push, done: (outcome: PushOutcome) => void = () => {}, number = 1): void {
    const { kernel } = this.#world;
    const traceId = hexOf(kernel.random.fork(`run ${push.push}.${number}`));
    const run: Run = { push, number, traceId, startedAt: kernel.now, requestCount: 0 };
    const end = (outcome: PushOutcome) => {
      if (outcome === "success" || number >= push.maxRuns) return done(outcome);
      kernel.after(push.retryPauseMs, () => this.start(push, done, number + 1));
    };
    const next = (index: number) => {
      if (index >= push.apps.length) return end("success");
      this.#pushApp(run, index, (outcome) => (outcome === "success" ? next(index + 1) : end(outcome)));
    };
    next(0);
  }

  #pushApp(run: Run, index: number, done: (outcome: PushOutcome) => void): void {
    const { kernel, settings, checker } = this.#world;
    const { push, number } = run;
    const original = settings.apps?.[push.apps[index] as number];
    if (!original) return;
    const app = push.edit && number > 1 && index === 0 ? editApp(original, push.edit) : original;
    const bodies = requestsOf(app, this.#world);
    const appPush: AppPush = {
      run,
      app,
      name: `push ${push.push}.${number}${index > 0 ? `/${index + 1}` : ""}`,
      startedAt: kernel.now,
      requests: [],
      matched: new Set(),
      listed: new Map(),
      endedAt: Number.POSITIVE_INFINITY,
    };
    checker.pushes.noteStart(appPush);
    const end = (outcome: PushOutcome) => {
      if (appPush.outcome) return;
      appPush.outcome = outcome;
      appPush.endedAt = kernel.now;
      kernel.note(`${appPush.name} of ${push.caller} ends: ${outcome}`);
      checker.pushes.checkResult(appPush, bodies);
      done(outcome);
    };
    const next = (request: number) => {
      if (appPush.outcome) return;
      const body = bodies[request];
      if (body) return this.#send(appPush, body, () => next(request + 1), end);
      const files = bodies.flatMap(({ resources }) => resources);
      kernel.after(push.uploadMs, () => end(this.#assemblePackage(appPush, files)));
    };
    next(0);
  }

  #send(appPush: AppPush, body: RequestBody, next: () => void, end: (outcome: PushOutcome) => void): void {
    const { kernel, checker } = this.#world;
    const { run } = appPush;
    const { push } = run;
    const request = run.requestCount;
    run.requestCount += 1;
    const requestId = `push ${push.push}.${run.number}, request ${request + 1}`;
    const place = this.#placeOf(run, request);
    if (run.number === 1) this.#startFaults(push, place, request, requestId);
    const isolate = this.#world.isolate(place, push.isolate);
    kernel.note(`${requestId} of ${push.caller} to ${isolate.name}`);
    let hasReply = false;
    const { caller } = push;
    const token = this.#world.uaa.token(caller);
    const call: MatchCall = { requestId, caller, token, ...this.#identityOf(run, request), body };
    const onReply = ({ status, text, listed }: MatchReply) => {
      if (appPush.outcome) return;
      hasReply = true;
      if (status >= 400 || text === undefined) return end(status === 409 ? "push-again" : "error");
      for (const resource of listed) {
        appPush.matched.add(resource.checksum.value);
        appPush.listed.set(resource.path ?? "", resource);
      }
      kernel.after(push.gapMs, next);
    };
    appPush.requests.push(this.#world.send(isolate, call, onReply).record);
    kernel.after(CLIENT_TIMEOUT_MS, () => {
      if (hasReply) return;
      checker.abandoned.add(requestId);
      end("timeout");
    });
  }

  #identityOf({ push, number, traceId }: Run, request: number): Pick<MatchCall, "headers" | "pushId"> {
    const { random } = this.#world.kernel;
    const traceHeaders = (id: string) => ({ "X-B3-TraceId": id, "X-B3-SpanId": id.slice(16) });
    switch (push.client) {
      case "identified":
        return { headers: { "User-Agent": CF, ...traceHeaders(traceId) }, pushId: traceId };
      case "pinned":
        return { headers: { "User-Agent": CF, ...traceHeaders(PINNED_ID) }, pushId: PINNED_ID };
      case "id-removed":
        return { headers: { "User-Agent": CF }, pushId: undefined };
      case "old-cf":
        return { headers: { "User-Agent": OLD_CF }, pushId: undefined };
      case "old-cf-traced": {
        const id = hexOf(random.fork(`request ${push.push}.${number} ${request}`));
        return { headers: { "User-Agent": OLD_CF, ...traceHeaders(id) }, pushId: undefined };
      }
    }
  }

  /** The uploaded files are added to the pool before the matched files are read from it. */
  #assemblePackage({ listed, matched }: AppPush, files: readonly Resource[]): PushOutcome {
    const { pool } = this.#world;
    for (const file of files) {
      const uploaded = matched.has(file.checksum.value) ? undefined : pool.find(file.checksum.value);
      if (uploaded && isPoolable(file)) this.#world.change(uploaded, true);
    }
    const fromPool = [...listed.values()];
    if (!fromPool.every(isPoolable)) return "mode-refused";
    return fromPool.every(({ checksum }) => pool.has(checksum.value)) ? "success" : "file-missing";
  }

  #placeOf({ push, number }: Run, request: number): number {
    if (number > 1) return push.place;
    const moves = this.#faultsOf(push, (at) => at <= request).filter((what) => what === "other-place");
    return (push.place + moves.length) % this.#world.settings.places;
  }

  #faultsOf({ push }: Push, isAffected: (request: number) => boolean): RequestFault[] {
    return this.#faults
      .filter((fault) => fault.push === push && isAffected(fault.request))
      .map(({ what }) => what);
  }

  #startFaults(push: Push, place: number, request: number, requestId: string): void {
    const { controller, kvFaults, pool, operator, kernel, sessionFaultsByRequest, bugsByRequest, uaa } =
      this.#world;
    const random = kernel.random.fork(`faults of ${requestId}`);
    for (const what of this.#faultsOf(push, (at) => at === request)) {
      kernel.note(`${requestId}: ${what}`);
      switch (what) {
        case "cloud-controller-error":
          controller.faultsByRequest.set(requestId, "error");
          break;
        case "cloud-controller-hang":
          controller.faultsByRequest.set(requestId, "hang");
          break;
        case "cloud-controller-cut":
          controller.faultsByRequest.set(requestId, "cut");
          break;
        case "cloud-controller-slow":
          controller.faultsByRequest.set(requestId, "slow");
          break;
        // An isolate that has the snapshot in memory would not read from KV: a new one gets the request.
        case "kv-fail":
          this.#world.replaceIsolate(place, push.isolate);
          kvFaults.failReadsOf(requestId, place, "fail");
          break;
        case "kv-hang":
          this.#world.replaceIsolate(place, push.isolate);
          kvFaults.failReadsOf(requestId, place, "hang");
          break;
        case "kv-slow":
          this.#world.replaceIsolate(place, push.isolate);
          kvFaults.failReadsOf(requestId, place, "slow");
          break;
        case "manifest-miss":
          this.#world.replaceIsolate(place, push.isolate);
          kvFaults.missManifest(place, requestId);
          break;
        case "other-isolate":
          this.#world.replaceIsolate(place, push.isolate);
          break;
        case "sessions-restart":
          this.#world.crashSessions(push.caller, 0, { writtenShare: 1, areMessagesSent: true });
          break;
        case "sessions-crash":
          this.#world.crashSessions(push.caller, random.integer(1, 6), {
            writtenShare: random.pick([0, 0.5, 1, 1]),
            areMessagesSent: random.chance(0.3),
          });
          break;
        case "sessions-lost":
          sessionFaultsByRequest.set(requestId, { how: "lost", calls: 1 });
          break;
        case "sessions-reply-lost":
          sessionFaultsByRequest.set(requestId, { how: "reply-lost", calls: 1 });
          break;
        case "sessions-hang":
          sessionFaultsByRequest.set(requestId, { how: "hang", calls: Infinity });
          break;
        case "sessions-slow":
          sessionFaultsByRequest.set(requestId, { how: "slow", calls: Infinity });
          break;
        case "files-reported":
          operator.add(pool.files, 0, 0);
          break;
        case "snapshot-published":
          this.#world.publish();
          break;
        case "pool-wiped":
          this.#world.lose(() => false);
          break;
        case "deploy":
          this.#world.deploy(this.#world.prefix, OVERLAP_MS);
          break;
        case "in-authentication":
        case "before-session":
        case "after-lookup":
        case "after-decision":
          bugsByRequest.set(requestId, what);
          break;
        case "uaa-error":
          this.#world.replaceIsolate(place, push.isolate);
          uaa.faultsByRequest.set(requestId, "error");
          break;
        case "uaa-hang":
          this.#world.replaceIsolate(place, push.isolate);
          uaa.faultsByRequest.set(requestId, "hang");
          break;
        case "other-place":
      }
    }
  }
}

/** 32 hex digits. */
function hexOf(random: Random): string {
  return Array.from({ length: 32 }, () => random.integer(0, 15).toString(16)).join("");
}
