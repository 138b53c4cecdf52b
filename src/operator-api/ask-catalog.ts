import type { Catalog } from "../catalog/catalog.ts";
import { catalogOf } from "../catalog/catalog-stub.ts";
import { Deadline } from "../deadline.ts";
import { Failure } from "../failure.ts";
import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";

/** 50,000 observations take a second, and may have to wait for others. */
const DEADLINE_MS = 10_000;

/** What the catalog answers, or the failure that it can't be had. What was told it may have arrived all the same. */
export async function askCatalog<T>(
  question: (catalog: DurableObjectStub<Catalog>) => Promise<T>,
  { configuration }: RequestContext,
): Promise<T | Failure> {
  try {
    return await new Deadline(DEADLINE_MS).race(question(catalogOf(configuration)));
  } catch (error) {
    return new Failure("catalog-unavailable", causeOf(error));
  }
}
