import { callCatalog } from "../catalog/call-catalog.ts";
import { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resources/resource-key.ts";

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
  const observations = { asOf, present: credible(keys), sizes: "client-reported" } as const;
  const outcome = await callCatalog(configuration, (catalog) => catalog.observe(observations));
  if (outcome instanceof Failure) log.warn("report-failed", { keys: keys.length, cause: outcome.reason });
}

/** The Cloud Controller does not compare sizes, but a file has only one: checksums with several are made up. */
function credible(keys: readonly ResourceKey[]): ResourceKey[] {
  const bySha1 = Map.groupBy(keys, sha1Of);
  return keys.filter((key) => bySha1.get(sha1Of(key))?.length === 1);
}
