import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";
import { ObjectStorage } from "./object-storage.ts";
import { Invocation, Process } from "./process.ts";
import { askRemotely, type Outcome } from "./remote.ts";

/** How an instance ends in the middle of an event. */
export interface Crash {
  /** The share of the event's groups of writes that had become durable. */
  written: number;
  /** Whether messages that those groups allowed had been sent. */
  sent: boolean;
}

/** An object that the platform runs: a class with methods, and perhaps `alarm`. */
// biome-ignore lint/suspicious/noExplicitAny: methods are called by name
type Instance = Record<string, (...parameters: any[]) => unknown>;

/** Watches what callers get to hear of the object, for the judge. */
export interface CallObserver {
  /** A method, or the alarm, has come to its first `await`, and what it wrote until then is durable. */
  landed(instance: object, method: string, parameters: unknown[], caller: string): void;
  /** The caller has been told. */
  returned(method: string, parameters: unknown[], result: unknown): void;
}

const ALARM_RETRIES_MAX = 6;
const ALARM_RETRY_FIRST_MS = 2_000;
const ALARM_LATE_MAX_MS = 2_000;
const ALARM_WALL_MAX_MS = 15 * 60_000;

/** What goes wrong with one call, apart from what happens to the instance. */
export type CallTrouble =
  /** It never arrives, and the caller gets an error. */
  | { how: "lost" }
  /** The method runs to its end, and the caller gets an error. */
  | { how: "reply-lost" }
  /** The caller gets nothing, whether the call arrives or not. */
  | { how: "hang"; arrives: boolean }
  /** Ms that the call and its reply take longer. */
  | { how: "slow"; callMs: number; replyMs: number };

export interface ObjectOptions {
  /** KV's place that it reads from. */
  place: number;
  /** An instance without work leaves memory after so many ms, with all that it held there. */
  idleMaxMs: number;
}

/** What waits until the groups of writes before it are durable. */
interface Waiting {
  group: number;
  run: () => void;
}

/** An instance's process: its writes become durable, and then its messages leave, when the event has ended. */
class ObjectProcess extends Process {
  readonly #storage: ObjectStorage;
  #messages: Waiting[] = [];
  #notes: Waiting[] = [];
  #crash: Crash | undefined;
  onEvent: () => void = () => {};
  onCommit: () => void = () => {};
  onCrash: () => void = () => {};

  constructor(name: string, place: number, storage: ObjectStorage) {
    super(name, place);
    this.#storage = storage;
  }

  override beforeEvent(): boolean {
    this.onEvent();
    return super.beforeEvent();
  }

  override send(run: () => void): void {
    this.#messages.push({ group: this.#storage.groups - 1, run });
  }

  /** For the judge, who knows what is durable although nobody was told. */
  whenDurable(run: () => void): void {
    this.#notes.push({ group: this.#storage.groups - 1, run });
  }

  /** The current event is the instance's last. */
  crashNow(crash: Crash): void {
    this.#crash = crash;
  }

  override afterEvent(): void {
    const { written, sent } = this.#crash ?? { written: 1, sent: true };
    const groups = Math.round(written * this.#storage.groups);
    const isDurable = ({ group }: Waiting) => group < groups;
    const due = [...this.#notes.filter(isDurable), ...(sent ? this.#messages.filter(isDurable) : [])];
    this.#notes = [];
    this.#messages = [];
    this.#storage.commit(groups);
    for (const { run } of due) run();
    this.onCommit();
    if (this.#crash) this.onCrash();
  }
}

/** One Durable Object: a single instance at a time, which may end between any two awaits, and what it keeps. */
export class ObjectHost {
  readonly storage = new ObjectStorage();
  readonly #kernel: Kernel;
  readonly #name: string;
  readonly #random: Random;
  readonly #options: ObjectOptions;
  readonly #create: (context: unknown) => Instance;
  readonly #observer: CallObserver;
  #process: ObjectProcess | undefined;
  #instance: Instance | undefined;
  #instances = 0;
  /** Calls and the alarm that the current instance works on: what to tell their callers when it ends. */
  #working = new Set<() => void>();
  /** Deliveries that wait for `blockConcurrencyWhile`. */
  #blocked: (() => void)[] | undefined;
  #crashes: { events: number; crash: Crash }[] = [];
  #lastEventAt = 0;
  #alarmAt: number | null = null;
  #alarmTimer = 0;
  /** The alarm that runs, or that is to be tried again. */
  #attempt: { retries: number } | undefined;
  #isAlarmRunning = false;
  /** Draws what goes wrong with a call of a request, which is given by its name. */
  troubleOf: (caller: string, random: Random) => CallTrouble | undefined = () => undefined;
  /** The instance has ended while it was busy, or before what it had planned. */
  onCrash: () => void = () => {};
  /** A call did not return as it should: the name of the request, and what happened. */
  onTrouble: (caller: string) => void = () => {};
  lostAlarms = 0;
  /** Until then the platform runs no alarm; ms since the epoch. */
  alarmsStandUntil = 0;

  constructor(
    kernel: Kernel,
    name: string,
    options: ObjectOptions,
    create: (context: unknown) => Instance,
    observer: CallObserver,
  ) {
    this.#kernel = kernel;
    this.#name = name;
    this.#random = kernel.random.fork(`object ${name}`);
    this.#options = options;
    this.#create = create;
    this.#observer = observer;
  }

  /** A stub, on which every method is a call to the object. */
  stub(): Record<string, (...parameters: unknown[]) => Promise<unknown>> {
    return new Proxy(
      {},
      {
        // A stub is no promise.
        get: (_, method) =>
          typeof method !== "string" || method === "then"
            ? undefined
            : (...parameters: unknown[]) => this.#call(method, structuredClone(parameters)),
      },
    );
  }

  /** Ends the instance, at the moment or in the middle of the n-th event from now. */
  crash(events: number, crash: Crash): void {
    if (events <= 0) this.#crash();
    else this.#crashes.push({ events, crash });
  }

  /** No trouble is to come any more. */
  spare(): void {
    this.#crashes = [];
  }

  #call(method: string, parameters: unknown[]): Promise<unknown> {
    return askRemotely(this.#kernel, (answer, caller) => {
      const trouble = this.troubleOf(caller.name, this.#random);
      if (trouble) this.onTrouble(caller.name);
      const lost = { error: new Error("Network connection lost.") };
      const { callMs, replyMs } = trouble?.how === "slow" ? trouble : { callMs: 0, replyMs: 0 };
      const reply = (outcome: Outcome<unknown>) =>
        this.#kernel.after(replyMs + this.#random.integer(1, 40), () => {
          if (trouble?.how === "hang") return;
          if (trouble?.how === "reply-lost") return answer(lost);
          if ("value" in outcome) this.#observer.returned(method, parameters, outcome.value);
          answer(outcome);
        });
      this.#kernel.after(callMs + this.#random.integer(1, 40), () => {
        if (trouble?.how === "lost") return answer(lost);
        if (trouble?.how === "hang" && !trouble.arrives) return;
        const fail = () => {
          this.onTrouble(caller.name);
          reply(lost);
        };
        this.#deliver(`${this.#name} ${method} of ${caller.name}`, fail, (instance, process) => {
          const finish = (outcome: Outcome<unknown>) => {
            // The answer leaves when what was written is durable.
            process.send(() => {
              if (this.#working.delete(fail)) reply(outcome);
            });
          };
          const call = async () => instance[method]?.(...parameters);
          const result = call();
          process.whenDurable(() => this.#observer.landed(instance, method, parameters, caller.name));
          result.then(
            (value) => finish({ value: structuredClone(value) }),
            (error) => finish({ error: new Error(error instanceof Error ? error.message : String(error)) }),
          );
        });
      });
    });
  }

  /**
   * Hands something to the instance, which is made where there is none.
   *
   * @param fail is told if the instance ends before the work does
   */
  #deliver(name: string, fail: () => void, work: (instance: Instance, process: ObjectProcess) => void): void {
    const { now } = this.#kernel;
    if (this.#working.size === 0 && now - this.#lastEventAt > this.#options.idleMaxMs) this.#end();
    this.#lastEventAt = now;
    this.#process ??= this.#begin();
    const process = this.#process;
    this.#working.add(fail);
    const invocation = new Invocation(this.#kernel, process, name);
    this.#kernel.wake(now, invocation, () => {
      this.#instance ??= this.#construct(process);
      const instance = this.#instance;
      if (!this.#blocked) return work(instance, process);
      this.#blocked.push(() =>
        this.#kernel.wake(this.#kernel.now, invocation, () => work(instance, process)),
      );
    });
  }

  #begin(): ObjectProcess {
    this.#instances += 1;
    const process = new ObjectProcess(`${this.#name}#${this.#instances}`, this.#options.place, this.storage);
    process.onEvent = () => {
      for (const planned of this.#crashes) {
        planned.events -= 1;
        if (planned.events === 0) process.crashNow(planned.crash);
      }
      this.#crashes = this.#crashes.filter(({ events }) => events > 0);
    };
    process.onCommit = () => this.#scheduleAlarm();
    process.onCrash = () => this.#crash();
    this.#kernel.note(`${process.name} begins`);
    return process;
  }

  #construct(process: ObjectProcess): Instance {
    return this.#create({
      storage: this.storage.api,
      id: { toString: () => this.#name, name: this.#name },
      waitUntil: () => {},
      blockConcurrencyWhile: async <T>(work: () => Promise<T>): Promise<T> => {
        const waiting: (() => void)[] = [];
        this.#blocked = waiting;
        try {
          return await work();
        } catch (error) {
          process.send(() => this.#end());
          throw error;
        } finally {
          this.#blocked = undefined;
          process.send(() => {
            for (const go of waiting) go();
          });
        }
      },
    });
  }

  #crash(): void {
    this.onCrash();
    this.#end();
  }

  #end(): void {
    if (!this.#process) return;
    this.#kernel.note(`${this.#process.name} ends`);
    this.#process.kill();
    this.#process = undefined;
    this.#instance = undefined;
    this.#blocked = undefined;
    const working = [...this.#working];
    this.#working.clear();
    for (const fail of working) fail();
  }

  #scheduleAlarm(): void {
    if (this.storage.alarm === this.#alarmAt || this.#isAlarmRunning) return;
    this.#alarmAt = this.storage.alarm;
    this.#alarmTimer += 1;
    if (this.#alarmAt === null) return;
    this.#attempt = undefined;
    this.#wakeForAlarm(
      Math.max(this.#alarmAt, this.#kernel.now) + this.#random.integer(0, ALARM_LATE_MAX_MS),
    );
  }

  #wakeForAlarm(time: number): void {
    const timer = ++this.#alarmTimer;
    this.#kernel.at(Math.max(time, this.alarmsStandUntil), () => {
      if (this.alarmsStandUntil > this.#kernel.now && timer === this.#alarmTimer)
        return this.#wakeForAlarm(time);
      if (timer === this.#alarmTimer && !this.#isAlarmRunning) this.#runAlarm();
    });
  }

  #runAlarm(): void {
    const { retries } = this.#attempt ?? { retries: 0 };
    this.#isAlarmRunning = true;
    // While the handler runs there is no alarm, but for one that the handler sets.
    this.storage.alarm = null;
    this.storage.commit();
    let isOver = false;
    const over = (outcome: "ended" | "failed" | "died") => {
      if (isOver) return;
      isOver = true;
      this.#isAlarmRunning = false;
      this.#alarmAt = null;
      this.#alarmEnded(outcome, retries);
    };
    this.#kernel.after(ALARM_WALL_MAX_MS, () => {
      if (!isOver) this.#end();
    });
    const fail = () => over("died");
    this.#deliver(
      `${this.#name} alarm${retries > 0 ? `, retry ${retries}` : ""}`,
      fail,
      (instance, process) => {
        const finish = (isFailure: boolean) =>
          process.send(() => {
            this.#lastEventAt = this.#kernel.now;
            if (this.#working.delete(fail)) over(isFailure ? "failed" : "ended");
          });
        const call = async () => instance.alarm?.({ retryCount: retries, isRetry: retries > 0 });
        const result = call();
        process.whenDurable(() => this.#observer.landed(instance, "alarm", [], "platform"));
        result.then(
          () => finish(false),
          (error) => {
            console.error(`alarm failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
            finish(true);
          },
        );
      },
    );
  }

  #alarmEnded(outcome: "ended" | "failed" | "died", retries: number): void {
    if (outcome === "ended") {
      this.#attempt = undefined;
      this.#scheduleAlarm();
      return;
    }
    this.#kernel.note(`${this.#name} alarm ${outcome}`);
    const tried = retries + 1;
    if (tried > ALARM_RETRIES_MAX) {
      this.lostAlarms += 1;
      this.#attempt = undefined;
      this.#kernel.note(`${this.#name} alarm given up`);
      this.#scheduleAlarm();
      return;
    }
    const again = this.#kernel.now + ALARM_RETRY_FIRST_MS * 2 ** retries;
    const isReplaced = this.storage.alarm !== null && this.#random.chance(0.5);
    if (isReplaced) {
      this.#scheduleAlarm();
      return;
    }
    this.#attempt = { retries: tried };
    this.#alarmAt = this.storage.alarm;
    this.#wakeForAlarm(again);
  }
}
