import { catalogOf } from "../catalog/catalog-stub.ts";
import { Deadline } from "../deadline.ts";
import { causeOf } from "../log.ts";
import { writePoint } from "../metrics.ts";
import { inTime, PATIENCE_MS } from "../patience.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resource-key.ts";
import type { Tier, TierAnswer } from "./tiers/tier.ts";

/** Claims of each answer that the Cloud Controller is asked about behind it. */
const SAMPLE = 5;
/** Of the time that a look-up may take, what a verification before the answer gets. */
const PATIENCE_PART = 1 / 4;
/** What goes on behind an answer has 30 s in all. */
const BEHIND_MAX_MS = 20_000;

/** What the Cloud Controller says of claims; of the rest it has said nothing. */
export type Verified = Pick<TierAnswer, "held" | "denied">;

/**
 * Asks the Cloud Controller, before the answer, about everything that the cache would claim; about what it has not answered
 * by then, behind the answer.
 */
export async function verifyClaims(
  claims: readonly ResourceKey[],
  origin: Tier,
  context: RequestContext,
): Promise<Verified> {
  const askedAt = Date.now();
  const { lookupDeadlineMs } = context.configuration;
  // In any order: where much is gone, the first questions tell.
  const { held, denied } = await origin.lookUp(
    drawn(claims, claims.length),
    new Deadline(lookupDeadlineMs * PATIENCE_PART),
  );
  const answered = new Set([...held, ...denied]);
  const rest = claims.filter((key) => !answered.has(key));
  context.waitUntil(verifyRest({ held, denied }, rest, askedAt, origin, context));
  return { held, denied };
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
  const sample = drawn(claims, SAMPLE);
  const first = await origin.lookUp(sample, new Deadline(context.configuration.lookupDeadlineMs));
  if (first.denied.length === 0) return;
  const asked = new Set(sample);
  const others = claims.filter((key) => !asked.has(key));
  await verifyRest(first, others, askedAt, origin, context);
}

/**
 * Asks the Cloud Controller, behind the answer, about the other claims, and tells what it has denied. Never throws.
 *
 * @param first what it has said already
 * @param askedAt when it was asked first, in ms since the epoch
 */
export async function verifyRest(
  first: Verified,
  others: readonly ResourceKey[],
  askedAt: number,
  origin: Tier,
  context: RequestContext,
): Promise<void> {
  const rest =
    others.length > 0 ? await origin.lookUp(others, new Deadline(BEHIND_MAX_MS)) : { held: [], denied: [] };
  const denied = [...first.denied, ...rest.denied];
  if (denied.length === 0) return;
  const asked = first.held.length + rest.held.length + denied.length;
  context.log.warn("cache-contradicted", { asked, denied: denied.length });
  writePoint("cache-contradicted", { asked, denied: denied.length }, context.configuration, context.log);
  await tellDenials({ held: [...first.held, ...rest.held], denied }, askedAt, context);
}

/** Tells the catalog what the Cloud Controller has denied. Never throws: the next verification tells it again. */
export async function tellDenials(
  { held, denied }: Verified,
  asOf: number,
  { configuration, log }: RequestContext,
): Promise<void> {
  try {
    const asked = held.length + denied.length;
    const denials = { asOf, asked, denied: denied.map(sha1Of) };
    await inTime(PATIENCE_MS.catalogTold, catalogOf(configuration).deny(denials));
  } catch (error) {
    log.warn("not-observed", { keys: denied.length, cause: causeOf(error) });
  }
}

/** `count` of `items` at random, or all where there are no more. */
function drawn<T>(items: readonly T[], count: number): T[] {
  const left = [...items];
  const random = crypto.getRandomValues(new Uint32Array(Math.min(count, left.length)));
  random.forEach((number, index) => {
    const other = index + (number % (left.length - index));
    [left[index], left[other]] = [left[other] as T, left[index] as T];
  });
  return left.slice(0, random.length);
}
