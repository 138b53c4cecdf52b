import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";
import { ObjectStorage } from "./object-storage.ts";
import { Invocation, Process } from "./process.ts";
import { callRemote, type Result } from "./remote.ts";

/** How an instance ends during an event. */
export interface Crash {
  /** The share of the event's groups of writes that become durable. */
  writtenShare: number;
  /** Whether the messages that depend on these groups are sent. */
  areMessagesSent: boolean;
}

/** An instance of the object's class: its methods, and perhaps `alarm`. */
// biome-ignore lint/suspicious/noExplicitAny: methods are called by name
type Instance = Record<string, (...parameters: any[]) => unknown>;

export interface CallObserver {
  /** A method or the alarm has run up to its first `await`, and its writes until then are durable. */
  stored(instance: object, method: string, parameters: unknown[], caller: string): void;
  /** The caller gets the result. */
  returned(method: string, parameters: unknown[], result: unknown): void;
}

const ALARM_RETRIES_MAX = 6;
const ALARM_RETRY_FIRST_MS = 2_000;
const ALARM_LATE_MAX_MS = 2_000;
const ALARM_DURATION_MAX_MS = 15 * 60_000;

/** A fault of one call. */
export type CallFault =
  /** The call does not arrive, and the caller gets an error. */
  | { how: "lost" }
  /** The method runs, and the caller gets an error. */
  | { how: "reply-lost" }
  /** The caller gets no reply, whether the call arrives or not. */
  | { how: "hang"; arrives: boolean }
  /** The call and its reply take longer. */
  | { how: "slow"; callMs: number; replyMs: number };

export interface ObjectOptions {
  /** The place of KV that it reads from. */
  place: number;
  /** An instance without work is evicted from memory after this time. */
  idleMaxMs: number;
}

/** Runs when the groups of writes before it are durable. */
interface Dependent {
  group: number;
  run: () => void;
}

/** The process of an instance. At the end of each event its writes become durable, and then its messages are sent. */
class ObjectProcess extends Process {
  readonly #storage: ObjectStorage;
  #messages: Dependent[] = [];
  #notes: Dependent[] = [];
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

  /** For the checker: runs once the writes are durable, even if no message is sent. */
  whenDurable(run: () => void): void {
    this.#notes.push({ group: this.#storage.groups - 1, run });
  }

  /** The current event is the instance's last. */
  crashNow(crash: Crash): void {
    this.#crash = crash;
  }

  override afterEvent(): void {
    const { writtenShare, areMessagesSent } = this.#crash ?? { writtenShare: 1, areMessagesSent: true };
    const groups = Math.round(writtenShare * this.#storage.groups);
    const isDurable = ({ group }: Dependent) => group < groups;
    const due = this.#notes.filter(isDurable);
    if (areMessagesSent) due.push(...this.#messages.filter(isDurable));
    this.#notes = [];
    this.#messages = [];
    this.#storage.commit(groups);
    for (const { run } of due) run();
    this.onCommit();
    if (this.#crash) this.onCrash();
  }
}

/** One Durable Object: its storage, and at most one instance, which may end between any two awaits. */
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
  /** For each unfinished call or alarm of the current instance, how it fails if the instance ends. */
  #unfinished = new Set<() => void>();
  /** Deliveries that wait for `blockConcurrencyWhile`. */
  #blocked: (() => void)[] | undefined;
  #plannedCrashes: { events: number; crash: Crash }[] = [];
  #lastEventAt = 0;
  #alarmAt: number | null = null;
  #alarmTimer = 0;
  /** The running alarm, or the one that is retried. */
  #attempt: { retries: number } | undefined;
  #isAlarmRunning = false;
  /** Draws the fault of a call. */
  drawFault: (caller: string, random: Random) => CallFault | undefined = () => undefined;
  /** The instance has crashed. */
  onCrash: () => void = () => {};
  /** A call of `caller` had a fault. */
  onFault: (caller: string) => void = () => {};
  /** The platform runs no alarm before; ms since the epoch. */
  alarmsPausedUntil = 0;

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

  /** A stub: each of its methods calls the object. */
  stub(): Record<string, (...parameters: unknown[]) => Promise<unknown>> {
    return new Proxy(
      {},
      {
        // A stub must not look like a promise.
        get: (_, method) =>
          typeof method !== "string" || method === "then"
            ? undefined
            : (...parameters: unknown[]) => this.#call(method, structuredClone(parameters)),
      },
    );
  }

  /** Ends the instance immediately (0), or during the n-th event from now. */
  crash(events: number, crash: Crash): void {
    if (events <= 0) this.#crash();
    else this.#plannedCrashes.push({ events, crash });
  }

  /** Cancels the planned crashes. */
  clearFaults(): void {
    this.#plannedCrashes = [];
  }

  #call(method: string, parameters: unknown[]): Promise<unknown> {
    return callRemote(this.#kernel, (sendReply, caller) => {
      const fault = this.drawFault(caller.name, this.#random);
      if (fault) this.onFault(caller.name);
      const lost = { error: new Error("Network connection lost.") };
      const { callMs, replyMs } = fault?.how === "slow" ? fault : { callMs: 0, replyMs: 0 };
      const reply = (result: Result<unknown>) =>
        this.#kernel.after(replyMs + this.#random.integer(1, 40), () => {
          if (fault?.how === "hang") return;
          if (fault?.how === "reply-lost") return sendReply(lost);
          if ("value" in result) this.#observer.returned(method, parameters, result.value);
          sendReply(result);
        });
      this.#kernel.after(callMs + this.#random.integer(1, 40), () => {
        if (fault?.how === "lost") return sendReply(lost);
        if (fault?.how === "hang" && !fault.arrives) return;
        const fail = () => {
          this.onFault(caller.name);
          reply(lost);
        };
        this.#deliver(`${this.#name} ${method} of ${caller.name}`, fail, (instance, process) => {
          const finish = (result: Result<unknown>) => {
            // The reply is sent when the writes are durable.
            process.send(() => {
              if (this.#unfinished.delete(fail)) reply(result);
            });
          };
          const call = async () => instance[method]?.(...parameters);
          const returned = call();
          process.whenDurable(() => this.#observer.stored(instance, method, parameters, caller.name));
          returned.then(
            (value) => finish({ value: structuredClone(value) }),
            (error) => finish({ error: new Error(error instanceof Error ? error.message : String(error)) }),
          );
        });
      });
    });
  }

  /**
   * Runs work in the instance, which is created if there is none.
   *
   * @param fail is called if the instance ends before the work does
   */
  #deliver(name: string, fail: () => void, work: (instance: Instance, process: ObjectProcess) => void): void {
    const { now } = this.#kernel;
    if (this.#unfinished.size === 0 && now - this.#lastEventAt > this.#options.idleMaxMs) this.#end();
    this.#lastEventAt = now;
    this.#process ??= this.#startProcess();
    const process = this.#process;
    this.#unfinished.add(fail);
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

  #startProcess(): ObjectProcess {
    this.#instances += 1;
    const process = new ObjectProcess(`${this.#name}#${this.#instances}`, this.#options.place, this.storage);
    process.onEvent = () => {
      for (const planned of this.#plannedCrashes) {
        planned.events -= 1;
        if (planned.events === 0) process.crashNow(planned.crash);
      }
      this.#plannedCrashes = this.#plannedCrashes.filter(({ events }) => events > 0);
    };
    process.onCommit = () => this.#scheduleAlarm();
    process.onCrash = () => this.#crash();
    this.#kernel.note(`${process.name} starts`);
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
            for (const resume of waiting) resume();
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
    const unfinished = [...this.#unfinished];
    this.#unfinished.clear();
    for (const fail of unfinished) fail();
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
    this.#kernel.at(Math.max(time, this.alarmsPausedUntil), () => {
      if (this.alarmsPausedUntil > this.#kernel.now && timer === this.#alarmTimer)
        return this.#wakeForAlarm(time);
      if (timer === this.#alarmTimer && !this.#isAlarmRunning) this.#runAlarm();
    });
  }

  #runAlarm(): void {
    const { retries } = this.#attempt ?? { retries: 0 };
    this.#isAlarmRunning = true;
    // While the handler runs, the only alarm is one that the handler sets.
    this.storage.alarm = null;
    this.storage.commit();
    let isOver = false;
    const over = (outcome: "ended" | "failed" | "died") => {
      if (isOver) return;
      isOver = true;
      this.#isAlarmRunning = false;
      this.#alarmAt = null;
      this.#finishAlarm(outcome, retries);
    };
    this.#kernel.after(ALARM_DURATION_MAX_MS, () => {
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
            if (this.#unfinished.delete(fail)) over(isFailure ? "failed" : "ended");
          });
        const call = async () => instance.alarm?.({ retryCount: retries, isRetry: retries > 0 });
        const returned = call();
        process.whenDurable(() => this.#observer.stored(instance, "alarm", [], "platform"));
        returned.then(
          () => finish(false),
          (error) => {
            console.error(`alarm failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
            finish(true);
          },
        );
      },
    );
  }

  #finishAlarm(outcome: "ended" | "failed" | "died", retries: number): void {
    if (outcome === "ended") {
      this.#attempt = undefined;
      this.#scheduleAlarm();
      return;
    }
    this.#kernel.note(`${this.#name} alarm ${outcome}`);
    if (retries >= ALARM_RETRIES_MAX) {
      this.#attempt = undefined;
      this.#kernel.note(`${this.#name} alarm is not retried again`);
      this.#scheduleAlarm();
      return;
    }
    const retryAt = this.#kernel.now + ALARM_RETRY_FIRST_MS * 2 ** retries;
    const isReplaced = this.storage.alarm !== null && this.#random.chance(0.5);
    if (isReplaced) {
      this.#scheduleAlarm();
      return;
    }
    this.#attempt = { retries: retries + 1 };
    this.#alarmAt = this.storage.alarm;
    this.#wakeForAlarm(retryAt);
  }
}
