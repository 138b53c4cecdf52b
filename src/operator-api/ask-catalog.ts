import type { Catalog } from "../catalog/catalog.ts";
import { catalogOf } from "../catalog/catalog-stub.ts";
import { Failure } from "../failure.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

/** What the catalog answers, or the failure that it can't be had. What was told it may have arrived all the same. */
export async function askCatalog<T>(
  question: (catalog: DurableObjectStub<Catalog>) => Promise<T>,
  { configuration }: RequestContext,
): Promise<T | Failure> {
  try {
    return await withTimeout(TIMEOUT_MS.catalogQuery, question(catalogOf(configuration)));
  } catch (error) {
    return new Failure({ kind: "catalog-unavailable", reason: causeOf(error) });
  }
}
