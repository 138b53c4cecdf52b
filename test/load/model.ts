/** What the operator has told of each resource, and what may be answered of it. All times in ms. */

/** What was told is known everywhere, and what has left is claimed, for so long. */
export const SPREAD_MS = 180_000;

interface Told {
  /** When the request was sent, and when it was answered: in between it took effect. */
  from: number;
  to: number;
  isPresent: boolean;
}

export class Model {
  readonly #told: Told[][];

  /** @param count of resources, of which nothing has been told */
  constructor(count: number) {
    this.#told = Array.from({ length: count }, () => []);
  }

  /** Takes down what was told of a resource; only one thing may be under way at a time. */
  tell(index: number, told: Told): void {
    this.#told[index]?.push(told);
  }

  /** What was told of a resource last counts from so long ago that nothing of before matters. */
  longAgo(index: number): void {
    const last = this.#told[index]?.at(-1);
    const always = Number.NEGATIVE_INFINITY;
    if (last) this.#told[index] = [{ from: always, to: always, isPresent: last.isPresent }];
  }

  isHeldNow(index: number): boolean {
    return this.#told[index]?.at(-1)?.isPresent ?? false;
  }

  /** Whether the resource may have been held at any moment between the two. */
  mayHaveBeenHeld(index: number, from: number, to: number): boolean {
    const told = this.#told[index] ?? [];
    return told.some(({ isPresent, from: begun }, at) => {
      const ended = told[at + 1]?.to ?? Number.POSITIVE_INFINITY;
      return isPresent && begun <= to && ended >= from;
    });
  }

  /** Whether the resource was held at every moment between the two. */
  wasPresent(index: number, from: number, to: number): boolean {
    const told = this.#told[index] ?? [];
    return told.some(({ isPresent, to: begun }, at) => {
      const ended = told[at + 1]?.from ?? Number.POSITIVE_INFINITY;
      return isPresent && begun <= from && ended >= to;
    });
  }

  /** How long ago it left, where it is not held. */
  goneFor(index: number, now: number): number | undefined {
    const last = this.#told[index]?.at(-1);
    return last && !last.isPresent ? now - last.to : undefined;
  }
}
