/** A number from here on is no duration (30 years) but a time. */
const EPOCH_SECONDS_MIN = 1_000_000_000;

/**
 * How long to wait by the Retry-After header, in ms: 0 or more. It is a number of seconds or a date (RFC 9110, section 10.2.3). The
 * Cloud Controller's rate limiter sends a time in seconds since the epoch (`middleware/base_rate_limiter.rb`).
 *
 * @returns undefined if the header is absent or invalid
 */
export function retryAfterMs(headers: Headers): number | undefined {
  const value = headers.get("Retry-After") ?? "";
  const isNumber = /^\d+$/.test(value);
  const seconds = Number(value);
  if (isNumber && seconds < EPOCH_SECONDS_MIN) return seconds * 1000;
  const ms = (isNumber ? seconds * 1000 : Date.parse(value)) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}
