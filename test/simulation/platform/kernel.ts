import { AsyncLocalStorage } from "node:async_hooks";
import { Random } from "../random.ts";
import { EventQueue } from "./event-queue.ts";
import { Invocation, type Process } from "./process.ts";

const running = new AsyncLocalStorage<Invocation>();

/** The invocation whose code runs; undefined outside of a simulation. */
export function currentInvocation(): Invocation | undefined {
  return running.getStore();
}

/** The time, the event queue, the random numbers and the trace of one simulated world. */
export class Kernel {
  readonly random: Random;
  readonly trace: Trace;
  now: number;
  /** Operations in real threads that the code under test waits for. */
  realOperations = 0;
  readonly #queue: EventQueue;
  #failure: { error: unknown } | undefined;
  /** The process whose event waits for real threads. */
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

  /** Runs something outside of all processes. */
  at(time: number, run: () => void): void {
    this.#queue.add(Math.max(time, this.now), run);
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /** Resumes the code of an invocation, later if its process is frozen, and not if it has ended. */
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
      if (this.realOperations > 0) this.#unfinished = process;
      else process.afterEvent();
    });
  }

  /** Runs code in a new invocation of `process`. */
  start(process: Process, name: string, run: (invocation: Invocation) => void, ms = 0): Invocation {
    const invocation = new Invocation(this, process, name);
    this.wake(this.now + ms, invocation, () => run(invocation));
    return invocation;
  }

  /** Ends the simulation with an error that is no behaviour of the code under test. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Runs all events until `end`. */
  run(end: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const runEvents = () => {
        try {
          while (this.realOperations === 0 && !this.#failure) {
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
          setImmediate(runEvents);
        } catch (error) {
          reject(error);
        }
      };
      setImmediate(runEvents);
    });
  }
}

/** Runs all microtasks. It must not be called from one. */
const drainMicrotasks = (process as unknown as { _tickCallback(): void })._tickCallback;

export interface Trace {
  add(time: number, text: string): void;
}

/** A hash of the lines, to compare two runs. */
export class TraceHash implements Trace {
  #hash = 0;

  add(time: number, text: string): void {
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

export class TraceLines implements Trace {
  readonly lines: { time: number; text: string }[] = [];

  add(time: number, text: string): void {
    this.lines.push({ time, text });
  }
}
