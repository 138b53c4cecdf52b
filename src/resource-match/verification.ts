import { catalogOf } from "../catalog/catalog-stub.ts";
import { Deadline } from "../deadline.ts";
import { writeEvent } from "../healing-metrics.ts";
import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resource-key.ts";
import type { Tier, TierAnswer } from "./tiers/tier.ts";

/** Claims of each answer that the Cloud Controller is asked about behind it. */
const SAMPLE = 5;
/** Of the time that a look-up may take, what a verification before the answer gets. */
const PATIENCE_PART = 1 / 4;

/** What the Cloud Controller says of claims; of the rest it has said nothing. */
export type Verified = Pick<TierAnswer, "held" | "denied">;

/** Asks the Cloud Controller, before the answer, about everything that the cache would claim. */
export async function verifyClaims(
  claims: readonly ResourceKey[],
  origin: Tier,
  context: RequestContext,
): Promise<Verified> {
  const askedAt = Date.now();
  const patience = context.configuration.lookupDeadlineMs * PATIENCE_PART;
  const verified = await origin.lookUp(claims, new Deadline(patience));
  if (verified.denied.length > 0) context.waitUntil(reportDenials(verified, askedAt, context));
  return verified;
}

/**
 * Asks the Cloud Controller, behind the answer, about a few of the claims, and where it denies one, about all. Never
 * throws.
 */
export async function verifySample(
  claims: readonly ResourceKey[],
  origin: Tier,
  context: RequestContext,
): Promise<void> {
  const askedAt = Date.now();
  const { lookupDeadlineMs } = context.configuration;
  const sample = drawn(claims, SAMPLE);
  const first = await origin.lookUp(sample, new Deadline(lookupDeadlineMs));
  if (first.denied.length === 0) return;
  const asked = new Set(sample);
  const others = claims.filter((key) => !asked.has(key));
  const rest =
    others.length > 0
      ? await origin.lookUp(others, new Deadline(lookupDeadlineMs))
      : { held: [], denied: [] };
  const all = { held: [...first.held, ...rest.held], denied: [...first.denied, ...rest.denied] };
  await reportDenials(all, askedAt, context);
}

/** Tells the catalog what the Cloud Controller has denied. Never throws: the next verification tells it again. */
export async function reportDenials(
  { held, denied }: Verified,
  asOf: number,
  { configuration, log }: RequestContext,
): Promise<void> {
  const asked = held.length + denied.length;
  log.warn("cache-contradicted", { asked, denied: denied.length });
  writeEvent(configuration.metrics, "cache-contradicted", { asked, denied: denied.length });
  try {
    await catalogOf(configuration).deny({ asOf, asked, denied: denied.map(sha1Of) });
  } catch (error) {
    log.warn("not-observed", { keys: denied.length, cause: causeOf(error) });
  }
}

/** `count` of `items` at random, or all where there are no more. */
function drawn<T>(items: readonly T[], count: number): T[] {
  const left = [...items];
  const random = crypto.getRandomValues(new Uint32Array(count));
  return Array.from(random.subarray(0, Math.min(count, left.length)), (number) => {
    const [item] = left.splice(number % left.length, 1);
    return item as T;
  });
}
