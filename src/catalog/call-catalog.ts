import type { Configuration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf } from "../observability/log.ts";
import { inJurisdiction } from "../placement/placement.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import type { CatalogApi } from "./catalog-api.ts";

/**
 * Calls a method of the catalog. Never throws. A call that failed or timed out may still have been executed.
 *
 * There is one catalog for all values of KEY_PREFIX: a catalog for each would never retire the manifest of a
 * prefix that is no longer used.
 */
export async function callCatalog<T>(
  { catalog, jurisdiction, catalogLocation }: Configuration,
  call: (catalog: CatalogApi) => Promise<T>,
): Promise<T | Failure> {
  try {
    const options = catalogLocation && { locationHint: catalogLocation };
    // A stub that has thrown can't be used again.
    const object = inJurisdiction(catalog, jurisdiction).getByName("catalog", options);
    return await withTimeout(TIMEOUT_MS.catalog, call(object));
  } catch (error) {
    return new Failure({ kind: "catalog-unavailable", reason: causeOf(error) });
  }
}
