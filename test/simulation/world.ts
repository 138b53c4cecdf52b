import { Judge } from "./judge.ts";
import { OPERATOR, Operator } from "./operator.ts";
import { CloudController } from "./platform/cloud-controller.ts";
import { Catalog, consumePoolEvents, type Env, PushSessions } from "./platform/code-under-test.ts";
import { type CallTrouble, type Crash, ObjectHost } from "./platform/durable-object.ts";
import { internet } from "./platform/globals.ts";
import { type Answer, Isolate, logOf, type Question } from "./platform/isolate.ts";
import { Kernel, type Trace } from "./platform/kernel.ts";
import { KvNamespace } from "./platform/kv.ts";
import { KvWeather } from "./platform/kv-weather.ts";
import type { Invocation } from "./platform/process.ts";
import { type Delivery, Queue } from "./platform/queue.ts";
import { Bucket, blobName } from "./platform/r2.ts";
import { type PoolFile, TruePool } from "./pool.ts";
import { PushClient } from "./push-client.ts";
import type { Random } from "./random.ts";
import { RequestBody } from "./request-body.ts";
import { resourceOfKey } from "./resources.ts";
import { EVERYBODY, type SessionTrouble, type Settings } from "./schedule.ts";
import type { Asked } from "./sessions.ts";
import { Told } from "./told.ts";

/** A day in 2026, and a second of it by the seed, so that midnight comes at any time. */
const BEGINNING = Date.UTC(2026, 10, 24);
const DAY_MS = 86_400_000;
/** An object without work leaves memory: one that can hibernate soon, the catalog's timers keep it longer. */
const SESSIONS_IDLE_MAX_MS = 10_000;
const CATALOG_IDLE_MAX_MS = 70_000;
/** What a slow call takes beyond the usual. */
const SLOW_MS = [600, 5_000] as const;

/** A foundation, a Worker and the platform that it runs on. */
export class World {
  readonly settings: Settings;
  readonly kernel: Kernel;
  readonly start: number;
  readonly pool: TruePool;
  readonly weather: KvWeather;
  readonly kv: KvNamespace;
  readonly told = new Told();
  readonly judge: Judge;
  readonly controller: CloudController;
  readonly bucket: Bucket;
  readonly queue: Queue;
  readonly operator: Operator;
  readonly pushes: PushClient;
  catalog: ObjectHost;
  /** KEY_PREFIX as it is deployed, and all that ever were. */
  prefix: string;
  readonly prefixes: Set<string>;
  /** Calls to the catalog that are lost, by when. */
  network: { from: number; until: number; how: "lost" | "reply-lost"; share: number }[] = [];
  /** What is wrong with calls to session objects, by when. */
  readonly sessionSpells: {
    from: number;
    until: number;
    caller: string;
    how: SessionTrouble;
    share: number;
    slowMs?: number | undefined;
  }[] = [];
  /** What happens to calls to the session object by one request alone, by its id. */
  readonly sessionMisfortunes = new Map<string, { how: SessionTrouble; calls: number }>();
  /** Requests of which a call to the session object did not return as it should. */
  readonly sessionTroubles = new Set<string>();
  readonly #sessions = new Map<string, ObjectHost>();
  readonly #sessionCrashes = new Map<string, number[]>();
  #isolates: Isolate[][];
  #previousVersion: { isolates: Isolate[][]; until: number } = { isolates: [], until: 0 };
  #requests = 0;
  #made = 0;

  constructor(settings: Settings, trace: Trace) {
    this.settings = settings;
    const kernel = new Kernel(settings.seed, 0, trace);
    kernel.now = BEGINNING + kernel.random.fork("start").integer(0, DAY_MS);
    this.kernel = kernel;
    this.start = kernel.now;
    const minimumSize = Number(settings.variables.MINIMUM_SIZE ?? 0) + 1;
    this.pool = new TruePool(filesOf(settings.files, minimumSize, kernel.random.fork("files")));
    this.weather = new KvWeather(kernel, settings.places);
    this.kv = new KvNamespace(kernel, this.weather, {
      places: settings.places,
      operationsPerDay: settings.kvOperationsPerDay,
    });
    this.controller = new CloudController(kernel, this.pool);
    internet.set(kernel, this.controller.reach);
    this.bucket = new Bucket(kernel, this.pool);
    this.queue = new Queue(
      kernel,
      {
        delay: (random) =>
          random.chance(0.1)
            ? random.integer(0, settings.queueBacklogMs)
            : random.integer(0, settings.queueDelayMs),
        duplicates: settings.queueDuplicates,
      },
      (delivery) => this.#consume(delivery),
      (body, deliveredAt) => this.judge.acknowledged(body, deliveredAt),
    );
    this.prefix = settings.variables.KEY_PREFIX ?? "";
    this.prefixes = new Set([this.prefix]);
    this.#isolates = Array.from({ length: settings.places }, () => []);
    this.catalog = this.#newCatalog();
    this.judge = new Judge(this);
    this.operator = new Operator(this);
    this.pushes = new PushClient(this);
  }

  /** A running isolate of a place; a new one where there is none. While a new version is deployed, either may be met. */
  isolate(place: number, slot: number): Isolate {
    const previous = this.#previousVersion.isolates[place]?.[slot];
    const isMet = previous?.isAlive && this.kernel.now < this.#previousVersion.until;
    if (isMet && this.kernel.random.fork(`version ${this.kernel.now}`).chance(0.5)) return previous;
    const isolates = this.#isolates[place] as Isolate[];
    let isolate = isolates[slot];
    if (!isolate?.isAlive) {
      isolate = this.newIsolate(place);
      isolates[slot] = isolate;
    }
    return isolate;
  }

  newIsolate(place: number): Isolate {
    this.#made += 1;
    return new Isolate(`isolate#${this.#made} in ${place}`, place, this.#env(place));
  }

  /** The isolates that are running. */
  running(): Isolate[] {
    return this.#isolates.flat().filter((isolate) => isolate?.isAlive);
  }

  /** Asks an isolate for files, as a push of one request does. */
  ask(isolate: Isolate, keys: readonly string[], { hangsUpAfter = Infinity } = {}): void {
    this.#requests += 1;
    const requestId = `request ${this.#requests}`;
    const body = new RequestBody(keys.map(resourceOfKey));
    const { invocation } = this.askFor(isolate, {
      requestId,
      caller: "user",
      headers: {},
      pushId: undefined,
      body,
    });
    this.kernel.note(`${requestId} to ${isolate.name}: ${keys.length} files`);
    if (hangsUpAfter < Infinity) {
      this.kernel.after(hangsUpAfter, () => {
        this.judge.gone.add(requestId);
        if (invocation.isOpen) invocation.finish();
      });
    }
  }

  /** Asks an isolate, as a request of a push does; `done` is not called where the isolate dies. */
  askFor(
    isolate: Isolate,
    question: Question,
    done: (answer: Answer) => void = () => {},
  ): { invocation: Invocation; asked: Asked } {
    const { requestId, body } = question;
    const asked = this.judge.asked(question, isolate);
    const invocation = isolate.ask(this.kernel, question, (answer) => {
      const { status, listed } = answer;
      this.kernel.note(
        `${requestId} in ${isolate.name}: ${status}, matches ${listed.length} of ${body.count}`,
      );
      this.judge.answered({ ...answer, isolate, asked, question });
      done(answer);
    });
    return { invocation, asked };
  }

  /** The next request gets an isolate of its own; what the one before is busy with goes on. */
  replaceIsolate(place: number, slot: number): void {
    delete this.#isolates[place]?.[slot];
  }

  /** Whether a caller's session object has ended in the middle of its work, within a time. */
  hasSessionCrashed(caller: string, from: number, until: number): boolean {
    return (this.#sessionCrashes.get(caller) ?? []).some((time) => from <= time && time <= until);
  }

  resetSessions(caller: string, events: number, crash: Crash): void {
    this.#sessionsOf(caller).crash(events, crash);
  }

  /** No trouble with session objects is to come any more. */
  spareSessions(): void {
    for (const host of this.#sessions.values()) host.spare();
  }

  publish(): void {
    this.call(
      0,
      "publish",
      () => [],
      () => {},
    );
  }

  /** The pool loses whatever it is not to keep, or gets back what it had; nobody tells, and no event does. */
  lose(isKept: (file: PoolFile) => boolean): void {
    const { pool, kernel } = this;
    const changed = pool.files.filter((file) => pool.change(file.sha1, isKept(file), kernel.now));
    kernel.note(`pool: ${changed.length} files are lost, or back`);
  }

  /** The pool changes; where it lies in a bucket, the queue hears of it. */
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

  /** Deploys the Worker anew: all isolates are replaced in time, and all objects begin again. */
  deploy(prefix: string, overlap: number): void {
    this.kernel.note(`deployed with KEY_PREFIX "${prefix}"`);
    this.prefix = prefix;
    this.prefixes.add(prefix);
    for (const isolate of this.running()) {
      this.kernel.after(overlap, () => isolate.kill());
    }
    this.#previousVersion = { isolates: this.#isolates, until: this.kernel.now + overlap };
    this.#isolates = this.#isolates.map(() => []);
    for (const host of [this.catalog, ...this.#sessions.values()]) host.crash(0, { written: 1, sent: true });
  }

  /** The platform runs no alarm until then. */
  standAlarms(until: number): void {
    for (const host of [this.catalog, ...this.#sessions.values()]) host.alarmsStandUntil = until;
  }

  /** Runs a method of the catalog, as the operator's request does; `done` is not told where the isolate dies. */
  call(
    place: number,
    method: string,
    parameters: (now: number) => unknown[],
    done: (outcome: { value: unknown } | { error: unknown }) => void,
  ): void {
    const isolate = this.isolate(place, 0);
    this.kernel.start(isolate, `${OPERATOR}${method}`, (invocation) => {
      const run = async () => this.catalog.stub()[method]?.(...parameters(Date.now()));
      run()
        .then(
          (value) => done({ value }),
          (error) => done({ error }),
        )
        .finally(() => invocation.finish());
    });
  }

  restart(events: number, crash: Crash): void {
    this.catalog.crash(events, crash);
  }

  #newCatalog(): ObjectHost {
    const { kernel } = this;
    const prefixes = new WeakMap<object, string>();
    const create = (context: unknown) => {
      const catalog = new Catalog(context as DurableObjectState, this.#env(0));
      prefixes.set(catalog, this.prefix);
      return catalog as never;
    };
    const host = new ObjectHost(kernel, "catalog", { place: 0, idleMaxMs: CATALOG_IDLE_MAX_MS }, create, {
      landed: (catalog, ...call) => {
        this.judge.begun(prefixes.get(catalog) ?? "");
        this.judge.landed(...call);
      },
      returned: (...call) => this.judge.returned(...call),
    });
    host.troubleOf = (_, random) => {
      const spell = this.network.find(
        ({ from, until, share }) => from <= kernel.now && kernel.now < until && random.chance(share),
      );
      return spell && troubleOf(spell.how, random);
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
      host = new ObjectHost(kernel, `sessions of ${caller}`, options, create, { landed() {}, returned() {} });
      host.troubleOf = (request, random) => this.#sessionTroubleOf(caller, request, random);
      host.onTrouble = (request) => this.sessionTroubles.add(request);
      host.onCrash = () => {
        const crashes = this.#sessionCrashes.get(caller) ?? [];
        this.#sessionCrashes.set(caller, [...crashes, kernel.now]);
      };
      this.#sessions.set(caller, host);
    }
    return host;
  }

  #sessionTroubleOf(caller: string, request: string, random: Random): CallTrouble | undefined {
    const { now } = this.kernel;
    const misfortune = this.sessionMisfortunes.get(request);
    if (misfortune && misfortune.calls > 0) {
      misfortune.calls -= 1;
      return troubleOf(misfortune.how, random);
    }
    const spell = this.sessionSpells.find(
      (each) =>
        each.from <= now &&
        now < each.until &&
        (each.caller === EVERYBODY || each.caller === caller) &&
        random.chance(each.share),
    );
    return spell && troubleOf(spell.how, random, spell.slowMs);
  }

  close(): void {
    for (const { storage } of [this.catalog, ...this.#sessions.values()]) storage.close();
  }

  #consume({ batch, end }: Delivery): void {
    const random = this.kernel.random.fork(`consumer ${this.kernel.now}`);
    const isolate = this.isolate(random.integer(0, this.settings.places - 1), 0);
    const { configuration } = isolate;
    const invocation = this.kernel.start(isolate, "consumer", () => {
      const consume = async () =>
        consumePoolEvents(batch as MessageBatch, { configuration, log: logOf(new Set()) });
      consume().then(
        () => end("resolved"),
        (error) => {
          console.error(`consumer failed: ${error}`);
          end("rejected");
        },
      );
    });
    // A consumer may run for 15 minutes; one that is no longer there is found out sooner.
    const check = (left: number) =>
      this.kernel.after(60_000, () => {
        if (invocation.process.isAlive && left > 0) return check(left - 1);
        invocation.isOpen = false;
        end("died");
      });
    check(15);
  }

  #env(place: number): Env {
    const { variables, hasBucket, hasCloudController } = this.settings;
    return {
      RESOURCE_CACHE: this.kv.binding(place),
      CATALOG: { getByName: () => this.catalog.stub() },
      PUSH_SESSIONS: { getByName: (caller: string) => this.#sessionsOf(caller).stub() },
      UAA_URL: "https://uaa.example.com",
      ...variables,
      KEY_PREFIX: this.prefix,
      ...(hasBucket ? { POOL_BUCKET: this.bucket.binding() } : {}),
      ...(hasCloudController ? { CLOUD_CONTROLLER_URL: "https://cc.example.com" } : {}),
    } as unknown as Env;
  }
}

function troubleOf(how: SessionTrouble, random: Random, slowMs?: number): CallTrouble {
  if (how === "hang") return { how, arrives: random.chance(0.5) };
  if (how !== "slow") return { how };
  const ms = slowMs ?? random.integer(...SLOW_MS);
  const callMs = random.pick([0, ms, Math.floor(ms / 2)]);
  return { how, callMs, replyMs: ms - callMs };
}

function filesOf(
  count: number,
  minimumSize: number,
  random: { integer(minimum: number, maximum: number): number },
): PoolFile[] {
  return Array.from({ length: count }, () => ({
    sha1: Array.from({ length: 40 }, () => random.integer(0, 15).toString(16)).join(""),
    size: random.integer(minimumSize, 5_000_000),
  }));
}
