import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";

interface Queued {
  id: string;
  body: unknown;
  timestamp: number;
  attempts: number;
  dueAt: number;
  isInFlight: boolean;
}

export interface Delivery {
  batch: unknown;
  /** Must be called when the handler ends, or when its process has died. */
  end: (outcome: "resolved" | "rejected" | "died") => void;
}

type Verdict = "ack" | { retryMs: number };

export interface QueueOptions {
  /** The time until a message is delivered. */
  drawDelayMs: (random: Random) => number;
  /** The probability that an acknowledged message is delivered again. */
  duplicates: number;
}

const BATCH_MAX = 100;
const BATCH_WAIT_MS = 5_000;
const RETRIES_MAX = 100;
/** A batch whose handler did not end is delivered again after this time or later. */
const VISIBILITY_MS = 30_000;

/** A queue with at-least-once delivery, in any order. */
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

  send(body: unknown): void {
    this.#sent += 1;
    this.#enqueue(body, this.#kernel.now, this.#options.drawDelayMs(this.#random), `message ${this.#sent}`);
  }

  #enqueue(body: unknown, timestamp: number, ms: number, id: string): void {
    const dueAt = this.#kernel.now + ms;
    const message = { id, body, timestamp, attempts: 0, dueAt, isInFlight: false };
    this.#messages.add(message);
    this.#kernel.at(dueAt, () => this.#deliver(message));
  }

  /** Delivers the message, together with others that are due at about the same time. */
  #deliver(first: Queued): void {
    if (!this.#messages.has(first) || first.isInFlight || first.dueAt > this.#kernel.now) return;
    const due = [...this.#messages].filter(
      (message) => !message.isInFlight && message.dueAt <= this.#kernel.now + BATCH_WAIT_MS,
    );
    const chosen = this.#random.shuffled(due).slice(0, BATCH_MAX);
    const deliveredAt = this.#kernel.now;
    const verdicts = new Map<Queued, Verdict>();
    const decide = (message: Queued, verdict: Verdict) => {
      if (verdicts.has(message)) return;
      verdicts.set(message, verdict);
      if (verdict === "ack") this.#onAck(message.body, deliveredAt);
    };
    const ack = (message: Queued) => decide(message, "ack");
    const retry = (message: Queued, { delaySeconds = 0 } = {}) =>
      decide(message, { retryMs: delaySeconds * 1000 });

    for (const message of chosen) {
      message.isInFlight = true;
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
        message.isInFlight = false;
        if (outcome === "resolved") ack(message);
        if (outcome === "rejected") retry(message);
        const verdict = verdicts.get(message);
        // Acknowledgements take effect when the handler has ended.
        if (outcome === "died" || verdict === undefined) this.#redeliver(message, VISIBILITY_MS);
        else if (verdict === "ack") this.#acknowledge(message);
        else this.#redeliver(message, verdict.retryMs);
      }
    };
    this.#consume({ batch, end });
  }

  #redeliver(message: Queued, ms: number): void {
    if (message.attempts > RETRIES_MAX) {
      this.#kernel.note(`queue: ${message.id} is dropped after ${RETRIES_MAX} retries`);
      this.#messages.delete(message);
      return;
    }
    message.dueAt = this.#kernel.now + ms + this.#random.integer(0, 2_000);
    this.#kernel.at(message.dueAt, () => this.#deliver(message));
  }

  #acknowledge(message: Queued): void {
    this.#messages.delete(message);
    if (this.#random.chance(this.#options.duplicates)) {
      this.#enqueue(
        message.body,
        message.timestamp,
        this.#options.drawDelayMs(this.#random),
        `${message.id} again`,
      );
    }
  }
}
