import { AsyncLocalStorage } from "node:async_hooks";
import { Random } from "../random.ts";
import { EventQueue } from "./event-queue.ts";
import { Invocation, type Process } from "./process.ts";

/** What the code under test may be doing between two events and no promise of JavaScript alone tells: real threads. */
export interface RealWork {
  pending: number;
}

const running = new AsyncLocalStorage<Invocation>();

/** The invocation whose code runs; undefined outside of any simulation. */
export function currentInvocation(): Invocation | undefined {
  return running.getStore();
}

/** One simulated world: its time, its order of events, its chance and its trace. */
export class Kernel {
  readonly random: Random;
  readonly trace: Trace;
  now: number;
  readonly realWork: RealWork = { pending: 0 };
  readonly #queue: EventQueue;
  #failure: { error: unknown } | undefined;
  /** Whose event waits for real threads. */
  #unfinished: Process | undefined;

  /** @param start ms since the epoch */
  constructor(seed: string, start: number, trace: Trace) {
    this.random = new Random(seed);
    this.#queue = new EventQueue(this.random.fork("order"));
    this.now = start;
    this.trace = trace;
  }

  note(text: string): void {
    this.trace.add(this.now, text);
  }

  /** Something that happens on its own, outside of all processes. */
  at(time: number, run: () => void): void {
    this.#queue.add(Math.max(time, this.now), run);
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /** Something that wakes the code of an invocation, unless its process is gone by then; later where it is frozen. */
  wake(time: number, invocation: Invocation, run: () => void): void {
    this.at(time, () => {
      const { process } = invocation;
      if (!invocation.isOpen || !process.isAlive) return;
      if (process.frozenUntil > this.now) return this.wake(process.frozenUntil, invocation, run);
      if (!process.beforeEvent()) {
        if (process.isAlive) this.wake(process.frozenUntil, invocation, run);
        return;
      }
      running.run(invocation, run);
      drainMicrotasks();
      if (this.realWork.pending > 0) this.#unfinished = process;
      else process.afterEvent();
    });
  }

  /** Runs code in a new invocation of `process`. */
  start(process: Process, name: string, run: (invocation: Invocation) => void, ms = 0): Invocation {
    const invocation = new Invocation(this, process, name);
    this.wake(this.now + ms, invocation, () => run(invocation));
    return invocation;
  }

  /** The world's own fault: what the model itself must not do. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Lets everything happen until `end`. */
  run(end: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        try {
          while (this.realWork.pending === 0 && !this.#failure) {
            this.#unfinished?.afterEvent();
            this.#unfinished = undefined;
            const event = this.#queue.takeBefore(end);
            if (!event) {
              this.now = end;
              return resolve();
            }
            this.now = event.time;
            event.run();
          }
          if (this.#failure) throw this.#failure.error;
          setImmediate(go);
        } catch (error) {
          reject(error);
        }
      };
      setImmediate(go);
    });
  }
}

/** Everything that the code under test does until it waits for the next event; it is called from no promise. */
const drainMicrotasks = (process as unknown as { _tickCallback(): void })._tickCallback;

export interface Trace {
  add(time: number, text: string): void;
}

/** Keeps nothing but a hash of the lines: two runs that have the same were the same. */
export class TraceHash implements Trace {
  #hash = 0;
  lines = 0;

  add(time: number, text: string): void {
    this.lines += 1;
    let value = this.#hash ^ (time % 4_294_967_296);
    for (let index = 0; index < text.length; index++) {
      value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
    }
    this.#hash = value;
  }

  get value(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }
}

/** Keeps the lines, for a person to read. */
export class TraceLines implements Trace {
  readonly lines: { time: number; text: string }[] = [];

  add(time: number, text: string): void {
    this.lines.push({ time, text });
  }
}
