import { Spans } from "../spans.ts";
import type { Kernel } from "./kernel.ts";

/** A fault that occurs at the n-th event of a process from now. */
interface PlannedFault {
  events: number;
  occur: () => void;
}

/** Something that runs code and keeps state in memory: an isolate, or an instance of a Durable Object. */
export class Process {
  readonly name: string;
  /** The place of KV that it reads from. */
  readonly place: number;
  isAlive = true;
  /** Ms since the epoch. */
  frozenUntil = 0;
  readonly #frozen = new Spans();
  #faults: PlannedFault[] = [];

  constructor(name: string, place: number) {
    this.name = name;
    this.place = place;
  }

  /** The fault occurs between two awaits, before the n-th event from now. */
  planFault(events: number, occur: () => void): void {
    this.#faults.push({ events, occur });
  }

  /** @param until ms since the epoch */
  freeze(now: number, until: number): void {
    this.frozenUntil = until;
    this.#frozen.add(now, until);
  }

  /** Whether it was frozen at any moment of a time. */
  wasFrozen(since: number, until: number): boolean {
    return this.#frozen.lengthWithin(since, until) > 0;
  }

  /** Cancels the planned faults, and unfreezes. */
  clearFaults(): void {
    this.#faults = [];
    this.frozenUntil = 0;
  }

  /** @returns whether the event can run now */
  beforeEvent(): boolean {
    if (this.#faults.length === 0) return true;
    const frozen = this.frozenUntil;
    const due = this.#faults.filter((fault) => {
      fault.events -= 1;
      return fault.events < 0;
    });
    this.#faults = this.#faults.filter(({ events }) => events >= 0);
    for (const { occur } of due) occur();
    return this.isAlive && this.frozenUntil === frozen;
  }

  afterEvent(): void {}

  /** Sends a message to another machine. */
  send(message: () => void): void {
    message();
  }

  kill(): void {
    this.isAlive = false;
  }
}

/** Work that was passed to `waitUntil` is cancelled this long after the response, or after the client disconnected. */
const WAIT_UNTIL_MAX_MS = 30_000;
/** Operations on bindings that the free plan allows in one invocation. */
const OPERATIONS_MAX = 1_000;

/** One request, batch of messages, alarm or call. When it ends, its pending I/O is dropped. */
export class Invocation {
  readonly kernel: Kernel;
  readonly process: Process;
  readonly name: string;
  isOpen = true;
  /** Lines of the log. */
  readonly log: string[] = [];
  #operations = 0;
  readonly #background: Promise<unknown>[] = [];

  constructor(kernel: Kernel, process: Process, name: string) {
    this.kernel = kernel;
    this.process = process;
    this.name = name;
  }

  /** @throws if the invocation has used up its operations */
  countOperation(): void {
    this.#operations += 1;
    if (this.#operations > OPERATIONS_MAX)
      throw new Error("Too many API requests by single Worker invocation.");
  }

  readonly waitUntil = (promise: Promise<unknown>): void => {
    this.#background.push(promise);
    promise.catch(() => {});
  };

  /** The response is sent, or the client has disconnected: only work in `waitUntil` continues, for at most 30 s. */
  finish(): void {
    const end = () => {
      this.isOpen = false;
    };
    this.kernel.after(WAIT_UNTIL_MAX_MS, end);
    const waiting = this.#background.length;
    if (waiting === 0) {
      end();
      return;
    }
    const settled = () => {
      if (this.#background.length === waiting) end();
      else this.finish();
    };
    // A continuation of the last promise may call `waitUntil` in the same turn.
    Promise.allSettled(this.#background).then(() => process.nextTick(settled));
  }
}
