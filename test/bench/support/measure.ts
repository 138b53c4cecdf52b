type Work = () => unknown;

/** Calls that let the compiler settle before anything is counted. */
const WARM_UP_SHARE = 0.2;

/**
 * Times several ways of doing a thing in turn, so that whatever else the machine does meets all of them alike.
 *
 * @returns of each, the milliseconds of every round
 */
export async function interleaved<Name extends string>(
  rounds: number,
  ways: Record<Name, (round: number) => unknown>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(ways) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  const warmUp = Math.ceil(rounds * WARM_UP_SHARE);
  for (let round = 0; round < warmUp + rounds; round++) {
    // Garbage is collected where it is noticed, which is not where it was made: each goes first in turn.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const time = await timed(() => ways[name](round));
      if (round >= warmUp) times[name].push(time);
    }
  }
  return times;
}

/** Milliseconds. */
export async function timed(work: Work): Promise<number> {
  const start = performance.now();
  const outcome = work();
  // Waiting costs a turn of the event loop: what is done at once is not charged with it.
  if (outcome instanceof Promise) await outcome;
  return performance.now() - start;
}

/** What runs have found: their median, and the least and the most of them. */
export interface Range {
  median: number;
  least: number;
  most: number;
}

export function rangeOf(values: readonly number[]): Range {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** As the tables show it. */
export function rangeText({ median, least, most }: Range): string {
  return `${rounded(median)} (${rounded(least)} to ${rounded(most)})`;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const index = Math.ceil((percent / 100) * sorted.length) - 1;
  return sorted[Math.max(0, index)] ?? Number.NaN;
}

/** Three significant digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
