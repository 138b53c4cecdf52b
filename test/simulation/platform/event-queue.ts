import type { Random } from "../random.ts";

export interface Event {
  time: number;
  run: () => void;
}

interface Queued extends Event {
  /** Orders what happens in the same millisecond. */
  tie: number;
}

/** Events by time; those of one millisecond come in an order drawn by chance: a binary heap. */
export class EventQueue {
  readonly #heap: Queued[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  add(time: number, run: () => void): void {
    const event = { time, run, tie: this.#random.next() };
    const heap = this.#heap;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(event, heap[parent] as Queued)) break;
      heap[place] = heap[parent] as Queued;
      place = parent;
    }
    heap[place] = event;
  }

  /** The first event, if its time has come by `end`. */
  takeBefore(end: number): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (!first || first.time > end) return undefined;
    const last = heap.pop() as Queued;
    if (heap.length === 0) return first;
    let place = 0;
    while (true) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Queued, heap[child] as Queued)) child += 1;
      if (!isBefore(heap[child] as Queued, last)) break;
      heap[place] = heap[child] as Queued;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Queued, other: Queued): boolean {
  return one.time < other.time || (one.time === other.time && one.tie < other.tie);
}
