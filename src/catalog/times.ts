/** Times are in ms since the epoch; null means never, or no limit. */

export function earliest(...times: (number | null)[]): number | null {
  return times.reduce(
    (first, time) => (first === null || (time !== null && time < first) ? time : first),
    null,
  );
}

/** The first time from now on that a pause allows. */
export function afterPause(notBefore: number | null, now: number): number {
  return notBefore === null ? now : Math.max(notBefore, now);
}

export function isDue(time: number | null, now: number): boolean {
  return time !== null && time <= now;
}

export function isoTime(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
