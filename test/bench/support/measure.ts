type Work = () => unknown;

/** Share of additional rounds before the measured ones, for the JIT compiler. */
const WARM_UP_SHARE = 0.2;

/**
 * Measures several functions in turn, so that other load of the machine affects all of them equally.
 *
 * @returns for each function, the milliseconds of every round
 */
export async function measureInterleaved<Name extends string>(
  rounds: number,
  functions: Record<Name, (round: number) => unknown>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(functions) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  const warmUp = Math.ceil(rounds * WARM_UP_SHARE);
  for (let round = 0; round < warmUp + rounds; round++) {
    // The order alternates, because garbage of one function may be collected during the next one.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const time = await measureMs(() => functions[name](round));
      if (round >= warmUp) times[name].push(time);
    }
  }
  return times;
}

/** Returns the duration of `work` in ms. */
export async function measureMs(work: Work): Promise<number> {
  const start = performance.now();
  const outcome = work();
  // Await only promises, because awaiting takes a turn of the event loop.
  if (outcome instanceof Promise) await outcome;
  return performance.now() - start;
}

/** Median, minimum and maximum of several runs. */
export interface Range {
  median: number;
  min: number;
  max: number;
}

export function rangeOf(values: readonly number[]): Range {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Formats a range for a table. */
export function formatRange({ median, min, max }: Range): string {
  return `${round(median)} (${round(min)} to ${round(max)})`;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const index = Math.ceil((percent / 100) * sorted.length) - 1;
  return sorted[Math.max(0, index)] ?? Number.NaN;
}

/** Rounds to three significant digits. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}
