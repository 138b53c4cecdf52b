/** Cloudflare's jurisdictions for Durable Objects: the object runs there, and its data is stored there. */
export const JURISDICTIONS = ["eu", "us", "fedramp"] as const;
export type Jurisdiction = (typeof JURISDICTIONS)[number];

/** Cloudflare's hints for the place of a new Durable Object. */
export const LOCATION_HINTS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;
export type LocationHint = (typeof LOCATION_HINTS)[number];

interface Placeable<T> {
  /** An object in another jurisdiction is another object, even if it has the same name. */
  jurisdiction(jurisdiction: Jurisdiction): T;
}

/** Restricts a namespace to a jurisdiction, if there is one. Throws in the local runtime, which has no jurisdictions. */
export function inJurisdiction<T extends Placeable<T>>(
  namespace: T,
  jurisdiction: Jurisdiction | undefined,
): T {
  return jurisdiction === undefined ? namespace : namespace.jurisdiction(jurisdiction);
}

/**
 * The prefix of the cache in Workers KV. The catalog of each jurisdiction has its own, so that there is one writer for
 * each, also after DATA_JURISDICTION was changed.
 */
export function cachePrefix(keyPrefix: string, jurisdiction: string | undefined): string {
  return jurisdiction === undefined ? keyPrefix : `${keyPrefix}@${jurisdiction}/`;
}
