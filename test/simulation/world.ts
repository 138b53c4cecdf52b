import { Checker } from "./checker.ts";
import { OPERATOR, Operator } from "./operator.ts";
import { bugs } from "./platform/bugs.ts";
import { CloudController } from "./platform/cloud-controller.ts";
import {
  Catalog,
  COMPLETE_SNAPSHOT,
  type Env,
  INLINE_DELTA,
  PushSessions,
} from "./platform/code-under-test.ts";
import { type CallFault, type Crash, ObjectHost } from "./platform/durable-object.ts";
import { internet } from "./platform/globals.ts";
import { Isolate, type MatchCall, type MatchReply, misconfigured } from "./platform/isolate.ts";
import { Kernel, type Trace } from "./platform/kernel.ts";
import { KvNamespace } from "./platform/kv.ts";
import { KvFaults } from "./platform/kv-faults.ts";
import type { Invocation } from "./platform/process.ts";
import { type Delivery, Queue } from "./platform/queue.ts";
import { Bucket, blobName } from "./platform/r2.ts";
import type { Result } from "./platform/remote.ts";
import { UAA_URL, Uaa } from "./platform/uaa.ts";
import { type PoolFile, TruePool } from "./pool.ts";
import { PushClient } from "./push-client.ts";
import type { Random } from "./random.ts";
import { ReportedPool } from "./reported-pool.ts";
import { RequestBody } from "./request-body.ts";
import { resourceOfKey } from "./resources.ts";
import { ALL_CALLERS, type Bug, type SessionFault, type Settings } from "./schedule.ts";
import type { RequestRecord } from "./session-model.ts";

/** The start is this day plus up to 24 hours, by the seed, so that midnight falls anywhere in a schedule. */
const START_DAY = Date.UTC(2026, 10, 24);
const DAY_MS = 86_400_000;
/** An idle object is evicted after this time: session objects hibernate; the catalog's timers keep it in memory longer. */
const SESSIONS_IDLE_MAX_MS = 10_000;
const CATALOG_IDLE_MAX_MS = 70_000;
/** How much longer a slow call takes. */
const SLOW_MS = [600, 5_000] as const;
/** A consumer of a queue may run for 15 minutes; the platform detects a dead one within a minute. */
const CONSUMER_MAX_MINUTES = 15;
/** The next alarm of a misconfigured catalog is this much later. */
const MISCONFIGURED_PAUSE_MS = 5 * 60_000;

/** A foundation, a Worker, and the platform that the Worker runs on. */
export class World {
  readonly settings: Settings;
  readonly kernel: Kernel;
  readonly start: number;
  readonly pool: TruePool;
  readonly kvFaults: KvFaults;
  readonly kv: KvNamespace;
  readonly reported = new ReportedPool();
  readonly checker: Checker;
  readonly controller: CloudController;
  readonly uaa: Uaa;
  readonly bucket: Bucket;
  readonly queue: Queue;
  readonly operator: Operator;
  readonly pushes: PushClient;
  readonly catalog: ObjectHost;
  /** The deployed KEY_PREFIX, and all that were ever deployed. */
  prefix: string;
  readonly prefixes: Set<string>;
  readonly catalogFaults: { from: number; until: number; how: "lost" | "reply-lost"; share: number }[] = [];
  readonly sessionFaults: {
    from: number;
    until: number;
    caller: string;
    how: SessionFault;
    share: number;
    slowMs?: number | undefined;
  }[] = [];
  /** Faults of the next calls to the session object by one request, by its id. */
  readonly sessionFaultsByRequest = new Map<string, { how: SessionFault; calls: number }>();
  /** Requests whose call of the session object had a fault. */
  readonly requestsWithSessionFault = new Set<string>();
  /** Bugs that affect one request, by its id. */
  readonly bugsByRequest = new Map<string, Bug>();
  /** The bugs that have occurred, by the request's id. */
  readonly thrown = new Map<string, Bug>();
  readonly #sessions = new Map<string, ObjectHost>();
  readonly #sessionCrashes = new Map<string, number[]>();
  #isolates: Isolate[][];
  #previousVersion: { isolates: Isolate[][]; until: number } = { isolates: [], until: 0 };
  #isMisconfigured = false;
  #deployments = 0;
  #requestCount = 0;
  #isolateCount = 0;

  constructor(settings: Settings, trace: Trace) {
    this.settings = settings;
    const kernel = new Kernel(settings.seed, 0, trace);
    kernel.now = START_DAY + kernel.random.fork("start").integer(0, DAY_MS);
    this.kernel = kernel;
    this.start = kernel.now;
    // Deltas are in the manifest, or objects of their own.
    INLINE_DELTA.maxBytes = kernel.random.fork("inline delta").chance(0.5) ? 65_536 : 0;
    // The snapshot has the whole pool, or keys are read too.
    COMPLETE_SNAPSHOT.lessThan = kernel.random.fork("complete snapshot").chance(0.5) ? Infinity : 0;
    const minimumSize = Number(settings.variables.MINIMUM_SIZE ?? 0) + 1;
    this.pool = new TruePool(drawFiles(settings.files, minimumSize, kernel.random.fork("files")));
    this.kvFaults = new KvFaults(kernel, settings.places);
    this.kv = new KvNamespace(kernel, this.kvFaults, {
      places: settings.places,
      operationsPerDay: settings.kvOperationsPerDay,
    });
    this.controller = new CloudController(kernel, this.pool);
    this.uaa = new Uaa(kernel);
    internet.set(kernel, (request) =>
      request.url.startsWith(UAA_URL) ? this.uaa.fetch() : this.controller.fetch(request),
    );
    bugs.set(kernel, (invocation, bug) => this.#hasBug(invocation, bug));
    this.bucket = new Bucket(kernel, this.pool);
    this.queue = new Queue(
      kernel,
      {
        drawDelayMs: (random) =>
          random.chance(0.1)
            ? random.integer(0, settings.queueBacklogMs)
            : random.integer(0, settings.queueDelayMs),
        duplicates: settings.queueDuplicates,
      },
      (delivery) => this.#consume(delivery),
      (body, deliveredAt) => this.checker.noteAcknowledged(body, deliveredAt),
    );
    this.prefix = settings.variables.KEY_PREFIX ?? "";
    this.prefixes = new Set([this.prefix]);
    this.#isolates = Array.from({ length: settings.places }, () => []);
    this.catalog = this.#newCatalog();
    this.checker = new Checker(this);
    this.operator = new Operator(this);
    this.pushes = new PushClient(this);
  }

  /** A running isolate, created if there is none. During a deployment it may be of the previous version. */
  isolate(place: number, slot: number): Isolate {
    const previous = this.#previousVersion.isolates[place]?.[slot];
    const isRunning = previous?.isAlive && this.kernel.now < this.#previousVersion.until;
    if (isRunning && this.kernel.random.fork(`version ${this.kernel.now}`).chance(0.5)) return previous;
    const isolates = this.#isolates[place] as Isolate[];
    let isolate = isolates[slot];
    if (!isolate?.isAlive) {
      isolate = this.newIsolate(place);
      isolates[slot] = isolate;
    }
    return isolate;
  }

  newIsolate(place: number): Isolate {
    this.#isolateCount += 1;
    const name = `isolate#${this.#isolateCount} in ${place}`;
    return new Isolate(name, place, this.#env(place), this.#isMisconfigured);
  }

  running(): Isolate[] {
    return this.#isolates.flat().filter((isolate) => isolate?.isAlive);
  }

  /** Sends a request for files to an isolate, like a push of one request. */
  request(isolate: Isolate, keys: readonly string[], hangUpAfterMs?: number): void {
    this.#requestCount += 1;
    const requestId = `request ${this.#requestCount}`;
    const body = new RequestBody(keys.map(resourceOfKey));
    const { invocation } = this.send(isolate, {
      requestId,
      caller: "user",
      token: this.uaa.token("user"),
      headers: {},
      pushId: undefined,
      body,
    });
    this.kernel.note(`${requestId} to ${isolate.name}: ${keys.length} files`);
    if (hangUpAfterMs === undefined) return;
    this.kernel.after(hangUpAfterMs, () => {
      this.checker.abandoned.add(requestId);
      if (invocation.isOpen) invocation.finish();
    });
  }

  /** Sends a request to an isolate; `done` is not called if the isolate dies. */
  send(
    isolate: Isolate,
    call: MatchCall,
    done: (reply: MatchReply) => void = () => {},
  ): { invocation: Invocation; record: RequestRecord } {
    const { requestId, body } = call;
    const record = this.checker.noteRequest(call, isolate);
    const invocation = isolate.fetch(this.kernel, call, (reply) => {
      const { status, listed } = reply;
      this.kernel.note(
        `${requestId} in ${isolate.name}: ${status}, matches ${listed.length} of ${body.count}`,
      );
      this.checker.checkResponse({ ...reply, isolate, record, call });
      done(reply);
    });
    return { invocation, record };
  }

  /** The next request gets a new isolate; the current one finishes its work. */
  replaceIsolate(place: number, slot: number): void {
    delete this.#isolates[place]?.[slot];
  }

  /** Whether a caller's session object crashed within a time. */
  hasSessionCrashed(caller: string, from: number, until: number): boolean {
    return (this.#sessionCrashes.get(caller) ?? []).some((time) => from <= time && time <= until);
  }

  crashSessions(caller: string, afterEvents: number, crash: Crash): void {
    this.#sessionsOf(caller).crash(afterEvents, crash);
  }

  /** Ends all planned faults. */
  clearFaults(): void {
    for (const isolate of this.running()) isolate.clearFaults();
    for (const host of this.#objects()) host.clearFaults();
    this.kvFaults.clearFaults();
    this.kv.liftQuota();
  }

  publish(): void {
    this.call(0, "publish", []);
  }

  /** Changes the whole pool. This is not reported, and the bucket sends no events. */
  lose(isKept: (file: PoolFile) => boolean): void {
    const { pool, kernel } = this;
    const changed = pool.files.filter((file) => pool.change(file.sha1, isKept(file), kernel.now));
    kernel.note(`pool: ${changed.length} files are lost or restored`);
  }

  /** Changes the pool. If it is stored in a bucket, that sends an event. */
  change(file: PoolFile, isPresent: boolean): void {
    if (!this.pool.change(file.sha1, isPresent, this.kernel.now)) return;
    this.kernel.note(`pool: ${file.sha1.slice(0, 6)} ${isPresent ? "put" : "deleted"}`);
    if (!this.settings.hasBucket) return;
    this.queue.send({
      account: "account",
      bucket: "resource-pool",
      eventTime: new Date(this.kernel.now).toISOString(),
      action: isPresent ? "PutObject" : "DeleteObject",
      object: isPresent
        ? { key: blobName(file.sha1), size: file.size, eTag: "etag" }
        : { key: blobName(file.sha1) },
    });
  }

  /** Deploys a new version: all isolates are replaced within `overlapMs`, and all objects restart. */
  deploy(prefix: string, overlapMs: number, isMisconfigured = false): void {
    this.kernel.note(`deployed with KEY_PREFIX "${prefix}"${isMisconfigured ? " and a wrong setting" : ""}`);
    this.#deployments += 1;
    this.#isMisconfigured = isMisconfigured;
    this.prefix = prefix;
    this.prefixes.add(prefix);
    for (const isolate of this.running()) {
      this.kernel.after(overlapMs, () => isolate.kill());
    }
    this.#previousVersion = { isolates: this.#isolates, until: this.kernel.now + overlapMs };
    this.#isolates = this.#isolates.map(() => []);
    for (const host of this.#objects()) host.crash(0, { writtenShare: 1, areMessagesSent: true });
  }

  /** Deploys a wrong setting. It is corrected after `durationMs`, if no other version was deployed before. */
  misconfigure(durationMs: number, overlapMs: number): void {
    const { kernel, checker } = this;
    // The catalog publishes nothing.
    checker.noteAlarmsPaused(kernel.now, kernel.now + durationMs + MISCONFIGURED_PAUSE_MS);
    this.deploy(this.prefix, overlapMs, true);
    const deployment = this.#deployments;
    kernel.after(durationMs, () => {
      if (this.#deployments === deployment) this.deploy(this.prefix, overlapMs);
    });
  }

  /** Whether the code throws. */
  #hasBug({ name, process }: Invocation, bug: Bug): boolean {
    if (!(process instanceof Isolate)) return false;
    const { at, until } = process.bug ?? { until: 0 };
    const isBroken = this.bugsByRequest.get(name) === bug || (at === bug && this.kernel.now < until);
    if (isBroken) this.thrown.set(name, bug);
    return isBroken;
  }

  pauseAlarms(until: number): void {
    for (const host of this.#objects()) host.alarmsPausedUntil = until;
  }

  /**
   * Calls a method of the catalog from an isolate, as a request of the operator does. `done` is not called if the isolate
   * dies.
   *
   * @param parameters a function gets the time in the isolate
   */
  call(
    place: number,
    method: string,
    parameters: unknown[] | ((now: number) => unknown[]),
    done: (result: Result<unknown>) => void = () => {},
  ): void {
    const isolate = this.isolate(place, 0);
    if (isolate.isMisconfigured) {
      this.kernel.after(1, () => done({ error: new Error("misconfigured") }));
      return;
    }
    this.kernel.start(isolate, `${OPERATOR}${method}`, (invocation) => {
      const run = async () => {
        const list = typeof parameters === "function" ? parameters(Date.now()) : parameters;
        return this.catalog.stub()[method]?.(...list);
      };
      run()
        .then(
          (value) => done({ value }),
          (error) => done({ error }),
        )
        .finally(() => invocation.finish());
    });
  }

  #objects(): ObjectHost[] {
    return [this.catalog, ...this.#sessions.values()];
  }

  #newCatalog(): ObjectHost {
    const { kernel } = this;
    /** A misconfigured instance has none: it only throws. */
    const prefixes = new WeakMap<object, string>();
    const create = (context: unknown) => {
      const env = this.#isMisconfigured ? misconfigured(this.#env(0)) : this.#env(0);
      const catalog = new Catalog(context as DurableObjectState, env);
      if (!this.#isMisconfigured) prefixes.set(catalog, this.prefix);
      return catalog as never;
    };
    const host = new ObjectHost(kernel, "catalog", { place: 0, idleMaxMs: CATALOG_IDLE_MAX_MS }, create, {
      stored: (catalog, ...call) => {
        const prefix = prefixes.get(catalog);
        if (prefix === undefined) return;
        this.checker.notePrefix(prefix);
        this.checker.noteStored(...call);
      },
      returned: (...call) => this.checker.noteReturned(...call),
    });
    host.drawFault = (_, random) => {
      const fault = this.catalogFaults.find(
        ({ from, until, share }) => from <= kernel.now && kernel.now < until && random.chance(share),
      );
      return fault && callFaultOf(fault.how, random);
    };
    return host;
  }

  #sessionsOf(caller: string): ObjectHost {
    let host = this.#sessions.get(caller);
    if (!host) {
      const { kernel } = this;
      const create = (context: unknown) =>
        new PushSessions(context as DurableObjectState, this.#env(1)) as never;
      const options = { place: 1, idleMaxMs: SESSIONS_IDLE_MAX_MS };
      host = new ObjectHost(kernel, `sessions of ${caller}`, options, create, { stored() {}, returned() {} });
      host.drawFault = (requestId, random) => this.#drawSessionFault(caller, requestId, random);
      host.onFault = (requestId) => this.requestsWithSessionFault.add(requestId);
      host.onCrash = () => {
        const crashes = this.#sessionCrashes.get(caller) ?? [];
        this.#sessionCrashes.set(caller, [...crashes, kernel.now]);
      };
      this.#sessions.set(caller, host);
    }
    return host;
  }

  #drawSessionFault(caller: string, requestId: string, random: Random): CallFault | undefined {
    const { now } = this.kernel;
    const ofRequest = this.sessionFaultsByRequest.get(requestId);
    if (ofRequest && ofRequest.calls > 0) {
      ofRequest.calls -= 1;
      return callFaultOf(ofRequest.how, random);
    }
    const fault = this.sessionFaults.find(
      (each) =>
        each.from <= now &&
        now < each.until &&
        (each.caller === ALL_CALLERS || each.caller === caller) &&
        random.chance(each.share),
    );
    return fault && callFaultOf(fault.how, random, fault.slowMs);
  }

  close(): void {
    for (const { storage } of this.#objects()) storage.close();
  }

  #consume({ batch, end }: Delivery): void {
    const random = this.kernel.random.fork(`consumer ${this.kernel.now}`);
    const isolate = this.isolate(random.integer(0, this.settings.places - 1), 0);
    const invocation = this.kernel.start(isolate, "consumer", () => {
      isolate.queue(batch as MessageBatch).then(
        () => end("resolved"),
        (error) => {
          console.error(`consumer failed: ${error}`);
          end("rejected");
        },
      );
    });
    const check = (minutesLeft: number) =>
      this.kernel.after(60_000, () => {
        if (invocation.process.isAlive && minutesLeft > 0) return check(minutesLeft - 1);
        invocation.isOpen = false;
        end("died");
      });
    check(CONSUMER_MAX_MINUTES);
  }

  #env(place: number): Env {
    const { variables, hasBucket, hasCloudController } = this.settings;
    return {
      RESOURCE_CACHE: this.kv.binding(place),
      CATALOG: { getByName: () => this.catalog.stub() },
      PUSH_SESSIONS: { getByName: (caller: string) => this.#sessionsOf(caller).stub() },
      UAA_URL,
      ...variables,
      KEY_PREFIX: this.prefix,
      ...(hasBucket ? { POOL_BUCKET: this.bucket.binding() } : {}),
      ...(hasCloudController ? { CLOUD_CONTROLLER_URL: "https://cc.example.com" } : {}),
    } as unknown as Env;
  }
}

function callFaultOf(how: SessionFault, random: Random, slowMs?: number): CallFault {
  if (how === "hang") return { how, arrives: random.chance(0.5) };
  if (how !== "slow") return { how };
  const ms = slowMs ?? random.integer(...SLOW_MS);
  const callMs = random.pick([0, ms, Math.floor(ms / 2)]);
  return { how, callMs, replyMs: ms - callMs };
}

function drawFiles(count: number, minimumSize: number, random: Random): PoolFile[] {
  return Array.from({ length: count }, () => ({
    sha1: Array.from({ length: 40 }, () => random.integer(0, 15).toString(16)).join(""),
    size: random.integer(minimumSize, 5_000_000),
  }));
}
