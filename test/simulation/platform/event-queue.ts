import type { Random } from "../random.ts";

export interface Event {
  time: number;
  run: () => void;
}

interface Queued extends Event {
  /** Orders the events of one millisecond. */
  tie: number;
}

/** Events by time, in random order within a millisecond. A binary heap. */
export class EventQueue {
  readonly #heap: Queued[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  add(time: number, run: () => void): void {
    const event = { time, run, tie: this.#random.next() };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent] as Queued)) break;
      heap[index] = heap[parent] as Queued;
      index = parent;
    }
    heap[index] = event;
  }

  /** The first event that is not after `end`. */
  takeBefore(end: number): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (!first || first.time > end) return undefined;
    const last = heap.pop() as Queued;
    if (heap.length === 0) return first;
    let index = 0;
    while (true) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Queued, heap[child] as Queued)) child += 1;
      if (!isBefore(heap[child] as Queued, last)) break;
      heap[index] = heap[child] as Queued;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(one: Queued, other: Queued): boolean {
  return one.time < other.time || (one.time === other.time && one.tie < other.tie);
}
