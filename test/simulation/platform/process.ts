import { Spans } from "../spans.ts";
import type { Kernel } from "./kernel.ts";

/** A spot of bother that comes over a process when it is about to go on for the n-th time from now. */
interface Trouble {
  events: number;
  strike: () => void;
}

/** Something that runs code and keeps it in memory: an isolate, or an instance of a Durable Object. */
export class Process {
  readonly name: string;
  /** Where it stands: which of KV's places it reads from. */
  readonly place: number;
  isAlive = true;
  /** Nothing goes on before; ms since the epoch. */
  frozenUntil = 0;
  readonly #frozen = new Spans();
  #troubles: Trouble[] = [];

  constructor(name: string, place: number) {
    this.name = name;
    this.place = place;
  }

  /** Strikes between two awaits: before the n-th event from now. */
  trouble(events: number, strike: () => void): void {
    this.#troubles.push({ events, strike });
  }

  /** Nothing of it goes on before `until`, in ms since the epoch. */
  freeze(now: number, until: number): void {
    this.frozenUntil = until;
    this.#frozen.add(now, until);
  }

  /** Whether it was frozen for some part of a time. */
  wasFrozen(since: number, until: number): boolean {
    return this.#frozen.lengthWithin(since, until) > 0;
  }

  /** No trouble is to come any more. */
  spare(): void {
    this.#troubles = [];
    this.frozenUntil = 0;
  }

  /** @returns false where the event can't happen now */
  beforeEvent(): boolean {
    if (this.#troubles.length === 0) return true;
    const frozen = this.frozenUntil;
    const struck = this.#troubles.filter((trouble) => {
      trouble.events -= 1;
      return trouble.events < 0;
    });
    this.#troubles = this.#troubles.filter(({ events }) => events >= 0);
    for (const { strike } of struck) strike();
    return this.isAlive && this.frozenUntil === frozen;
  }

  afterEvent(): void {}

  /** Sends something off to another machine. */
  send(message: () => void): void {
    message();
  }

  kill(): void {
    this.isAlive = false;
  }
}

/** Workers ends what waits for `waitUntil` this long after the answer or the client has gone. */
const WAIT_UNTIL_MAX_MS = 30_000;
/** Operations on bindings that one invocation may spend on the free plan. */
const OPERATIONS_MAX = 1_000;

/** One request, message batch, alarm or call: what its code still waits for is dropped when it ends. */
export class Invocation {
  readonly kernel: Kernel;
  readonly process: Process;
  readonly name: string;
  isOpen = true;
  #operations = 0;
  readonly #background: Promise<unknown>[] = [];

  constructor(kernel: Kernel, process: Process, name: string) {
    this.kernel = kernel;
    this.process = process;
    this.name = name;
  }

  /** @throws where the invocation has spent its operations */
  spend(): void {
    this.#operations += 1;
    if (this.#operations > OPERATIONS_MAX)
      throw new Error("Too many API requests by single Worker invocation.");
  }

  readonly waitUntil = (promise: Promise<unknown>): void => {
    this.#background.push(promise);
    promise.catch(() => {});
  };

  /** The answer is sent, or the client is gone: only what was given to `waitUntil` goes on, for half a minute. */
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
    // Whatever follows from the last of it may give more to `waitUntil`, in the same turn.
    Promise.allSettled(this.#background).then(() => process.nextTick(settled));
  }
}
