/** A time in ms since the epoch that is later than any other. JSON can't contain it: stored times are null instead. */
export const NEVER = Number.POSITIVE_INFINITY;

export function isoTime(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
