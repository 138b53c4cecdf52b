const COUNT = new Intl.NumberFormat("en");

/** `12,345`. */
export function formatNumber(count: number): string {
  return COUNT.format(count);
}

/** `1 file`, `12,345 files`. */
export function formatCount(count: number, singular: string, plural = `${singular}s`): string {
  return `${formatNumber(count)} ${count === 1 ? singular : plural}`;
}

/** `90 s`, `12 min`, `5 h` or `3 days`, rounded down, without the sign. */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
