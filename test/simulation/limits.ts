/** Cloudflare responds with 524 to a request that takes longer. */
export const CLIENT_TIMEOUT_MS = 125_000;
/** Waiting for another request that fetches UAA's keys, and then fetching them. */
export const TOKEN_MAX_MS = 2 * 2_000;
/** With a shorter LOOKUP_DEADLINE_MS even a healthy Cloud Controller may miss the deadline. */
export const LONG_DEADLINE_MS = 8_000;
