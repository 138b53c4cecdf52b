/** Limits of Cloudflare, of Cloud Foundry and of formats. */

/** Keys in one bulk `get` of Workers KV. */
export const KV_KEYS_PER_READ = 100;

/** Workers KV refuses a shorter `cacheTtl`. */
export const KV_CACHE_TTL_MIN_SECONDS = 30;

/** The tombstone of a key lasts for a day, so that KV must not serve the key from its cache for longer. */
export const KV_CACHE_TTL_MAX_SECONDS = 86_400;

/** Workers KV takes keys of up to 512 bytes. The longest suffix, a resource key, has 57, and a jurisdiction 9. */
export const KEY_PREFIX_MAX_BYTES = 400;

/** More than an object can write in a day, so that a typing error is noticed. */
export const KEYS_PER_DAY_MAX = 100_000_000;

/** Size of the requests of cf CLI, and the maximum of the Cloud Controller. */
export const RESOURCES_PER_REQUEST_MAX = 5_000;

/** `client_max_body_size` of the Cloud Controller's nginx: 15 MiB. */
export const BODY_MAX_BYTES = 15 * 1024 * 1024;

/**
 * Limits for JSON that is not in canonical form: bytes, and commas and opening brackets. JSON.parse creates up to 300 bytes
 * for each of these characters, and an isolate has 128 MB. At these limits a request takes at most 42 MB. 5,000 resources
 * have 35,000 such characters.
 */
export const NON_CANONICAL_MAX_BYTES = 4 * 1024 * 1024;
export const NON_CANONICAL_MAX_TOKENS = 100_000;

/** Cloudflare closes an idle connection after 100 s. The response must start well before. */
export const LOOKUP_DEADLINE_MAX_MS = 60_000;

/** Resources per request to the Cloud Controller, which needs about 12 ms for each. Each response counts as it arrives. */
export const ORIGIN_RESOURCES_PER_REQUEST = 250;

/** The Cloud Controller matches nothing without a mode. It allows this one, and then compares only the content. */
export const ANY_MODE = "0744";

/** The longest period of a rate limit binding. */
export const RATE_LIMIT_PERIOD_SECONDS = 60;
