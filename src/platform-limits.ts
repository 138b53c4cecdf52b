/** Limits that somebody else sets: the platform's, Cloud Foundry's and the formats'. */

/** Workers KV reads up to 100 keys in one bulk `get`. */
export const KV_KEYS_PER_READ = 100;

/** Workers KV refuses a shorter `cacheTtl`. */
export const KV_CACHE_TTL_MIN_SECONDS = 30;

/** The catalog overrules a removed key for as long as KV may serve it from its cache: a day, and no longer. */
export const KV_CACHE_TTL_MAX_SECONDS = 86_400;

/** Workers KV takes keys of up to 512 bytes; the longest after the prefix, a resource's, has 57. */
export const KEY_PREFIX_MAX_BYTES = 400;

/** More than an object writes in a day, so that a typing error is noticed. */
export const KEYS_PER_DAY_MAX = 100_000_000;

/** cf CLI sends chunks of this many resources, and the Cloud Controller takes no more. */
export const RESOURCES_PER_REQUEST_MAX = 5_000;

/** `client_max_body_size` of the Cloud Controller's nginx: 15 MiB. */
export const BODY_MAX_BYTES = 15 * 1024 * 1024;

/**
 * Limits for JSON that is not in canonical form: bytes, and commas and opening brackets. JSON.parse creates up to 300 bytes
 * for each of these characters, and an isolate has 128 MB. At these limits a request takes at most 62 MB. 5,000 resources
 * have 35,000 such characters.
 */
export const NON_CANONICAL_MAX_BYTES = 4 * 1024 * 1024;
export const NON_CANONICAL_MAX_TOKENS = 100_000;

/** Cloudflare gives up on an idle connection after 100 s; an answer must be on its way well before. */
export const LOOKUP_DEADLINE_MAX_MS = 60_000;

/** Resources in one request of this project to the Cloud Controller. Answers to small requests count as they come. */
export const ORIGIN_RESOURCES_PER_REQUEST = 250;

/** The Cloud Controller matches nothing without a mode. Every mode with these bits matches. */
export const ANY_MODE = "0744";

/** Analytics Engine takes at most this many values per data point; the index and the text of each are short enough. */
export const DATA_POINT_MAX = { blobs: 20, doubles: 20 };

/** The longest period that a rate limit binding can have. */
export const RATE_LIMIT_PERIOD_SECONDS = 60;

/** A Cloud Controller that echoes 5,000 resources with paths sends less than it may be asked with. */
export const ORIGIN_ANSWER_MAX_BYTES = BODY_MAX_BYTES;
