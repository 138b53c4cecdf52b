import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";

interface Queued {
  id: string;
  body: unknown;
  timestamp: number;
  attempts: number;
  dueAt: number;
  isUnderWay: boolean;
}

/** What became of each message of a batch. */
export interface Delivery {
  batch: unknown;
  /** The handler has ended; undefined: the process died, or is still at it. */
  end: (outcome: "resolved" | "rejected" | "died") => void;
}

export interface QueueOptions {
  /** Until a message is delivered, ms. */
  delay: (random: Random) => number;
  /** Of a message that was acknowledged, that it comes again. */
  duplicates: number;
}

const BATCH_MAX = 100;
const BATCH_WAIT_MS = 5_000;
const RETRIES_MAX = 100;
/** A batch of a process that died comes again after this time, or more. */
const VISIBILITY_MS = 30_000;

/** A queue: at least once, in no order, late. */
export class Queue {
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly #options: QueueOptions;
  readonly #consume: (delivery: Delivery) => void;
  readonly #onAck: (body: unknown, deliveredAt: number) => void;
  readonly #messages = new Set<Queued>();
  #sent = 0;

  constructor(
    kernel: Kernel,
    options: QueueOptions,
    consume: (delivery: Delivery) => void,
    onAck: (body: unknown, deliveredAt: number) => void,
  ) {
    this.#kernel = kernel;
    this.#random = kernel.random.fork("queue");
    this.#options = options;
    this.#consume = consume;
    this.#onAck = onAck;
  }

  get waiting(): number {
    return this.#messages.size;
  }

  send(body: unknown): void {
    this.#sent += 1;
    this.#enqueue(body, this.#kernel.now, this.#options.delay(this.#random), `message ${this.#sent}`);
  }

  #enqueue(body: unknown, timestamp: number, ms: number, id: string): void {
    const dueAt = this.#kernel.now + ms;
    const message = { id, body, timestamp, attempts: 0, dueAt, isUnderWay: false };
    this.#messages.add(message);
    this.#kernel.at(dueAt, () => this.#deliver(message));
  }

  /** A batch of what is due about then, in any order. */
  #deliver(first: Queued): void {
    if (!this.#messages.has(first) || first.isUnderWay || first.dueAt > this.#kernel.now) return;
    const due = [...this.#messages].filter(
      (message) => !message.isUnderWay && message.dueAt <= this.#kernel.now + BATCH_WAIT_MS,
    );
    const chosen = this.#random.shuffled(due).slice(0, BATCH_MAX);
    const deliveredAt = this.#kernel.now;
    const fates = new Map<Queued, "ack" | { retryMs: number }>();
    const decide = (message: Queued, fate: "ack" | { retryMs: number }) => {
      if (fates.has(message)) return;
      fates.set(message, fate);
      if (fate === "ack") this.#onAck(message.body, deliveredAt);
    };
    const ack = (message: Queued) => decide(message, "ack");
    const retry = (message: Queued, { delaySeconds = 0 } = {}) =>
      decide(message, { retryMs: delaySeconds * 1000 });

    for (const message of chosen) {
      message.isUnderWay = true;
      message.attempts += 1;
    }
    const messages = chosen.map((message) => ({
      id: message.id,
      timestamp: new Date(message.timestamp),
      body: structuredClone(message.body),
      attempts: message.attempts,
      ack: () => ack(message),
      retry: (options?: { delaySeconds?: number }) => retry(message, options),
    }));
    const batch = {
      queue: "pool-changes",
      messages,
      ackAll: () => chosen.forEach(ack),
      retryAll: (options?: { delaySeconds?: number }) => {
        for (const message of chosen) retry(message, options);
      },
    };
    let isOver = false;
    const end = (outcome: "resolved" | "rejected" | "died") => {
      if (isOver) return;
      isOver = true;
      for (const message of chosen) {
        message.isUnderWay = false;
        if (outcome === "resolved") ack(message);
        if (outcome === "rejected") retry(message);
        const fate = fates.get(message);
        // What the handler decided counts only once it has ended.
        if (outcome === "died" || fate === undefined) this.#again(message, VISIBILITY_MS);
        else if (fate === "ack") this.#done(message);
        else this.#again(message, fate.retryMs);
      }
    };
    this.#consume({ batch, end });
  }

  #again(message: Queued, ms: number): void {
    if (message.attempts > RETRIES_MAX) {
      this.#kernel.note(`queue: ${message.id} is given up`);
      this.#messages.delete(message);
      return;
    }
    message.dueAt = this.#kernel.now + ms + this.#random.integer(0, 2_000);
    this.#kernel.at(message.dueAt, () => this.#deliver(message));
  }

  #done(message: Queued): void {
    this.#messages.delete(message);
    if (this.#random.chance(this.#options.duplicates)) {
      this.#enqueue(
        message.body,
        message.timestamp,
        this.#options.delay(this.#random),
        `${message.id} again`,
      );
    }
  }
}
