import type { Configuration } from "../configuration.ts";
import type { Catalog } from "./catalog.ts";

/**
 * The foundation's catalog. A Worker has one, whatever its KEY_PREFIX: a catalog for each prefix would go on telling of
 * a pool of which it hears nothing any more.
 *
 * One for each call: a stub that has thrown is of no more use.
 */
export function catalogOf({ catalog }: Configuration): DurableObjectStub<Catalog> {
  return catalog.getByName("catalog") as unknown as DurableObjectStub<Catalog>;
}
