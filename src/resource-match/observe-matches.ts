import { catalogOf } from "../catalog/catalog-stub.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resources/resource-key.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

/**
 * Tells the catalog what the Cloud Controller has matched, in one call. Never throws: what is not told now is told by
 * a later push.
 *
 * @param asOf ms since the epoch: the moment before the Cloud Controller was asked
 */
export async function reportMatches(
  keys: readonly ResourceKey[],
  asOf: number,
  { configuration, log }: RequestContext,
): Promise<void> {
  try {
    const observations = { asOf, present: credible(keys), sizes: "client-reported" } as const;
    await withTimeout(TIMEOUT_MS.catalogReport, catalogOf(configuration).observe(observations));
  } catch (error) {
    log.warn("report-failed", { keys: keys.length, cause: causeOf(error) });
  }
}

/** The Cloud Controller does not compare sizes, but a file has only one: checksums with several are made up. */
function credible(keys: readonly ResourceKey[]): ResourceKey[] {
  const bySha1 = Map.groupBy(keys, sha1Of);
  return keys.filter((key) => bySha1.get(sha1Of(key))?.length === 1);
}
