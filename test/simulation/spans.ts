/** A set of time spans, which may overlap. */
export class Spans {
  readonly #spans: { from: number; until: number }[] = [];

  add(from: number, until: number): void {
    if (until > from) this.#spans.push({ from, until });
  }

  union(other: Spans | undefined): Spans {
    const both = new Spans();
    for (const spans of other ? [this, other] : [this]) both.#spans.push(...spans.#spans);
    return both;
  }

  /** The latest end of the spans that have begun by `time`; -Infinity if there is none. */
  lastEnd(time: number): number {
    return Math.max(-Infinity, ...this.#spans.filter(({ from }) => from <= time).map(({ until }) => until));
  }

  /** The part of a time that the spans cover. */
  lengthWithin(from: number, until: number): number {
    let covered = 0;
    let end = from;
    for (const span of this.#spans.toSorted((one, another) => one.from - another.from)) {
      const begin = Math.max(span.from, end);
      const close = Math.min(span.until, until);
      if (close <= begin) continue;
      covered += close - begin;
      end = close;
    }
    return covered;
  }
}
