import { callCatalog } from "../catalog/call-catalog.ts";
import type { CatalogApi } from "../catalog/catalog-api.ts";

import { Failure } from "../failure.ts";
import { writePoint } from "../observability/metrics.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resources/resource-key.ts";
import type { OriginResult } from "./origin.ts";

/** Matches of the cache that the Cloud Controller has verified. Matches in neither list are unverified. */
export interface Verified {
  confirmed: readonly ResourceKey[];
  rejected: readonly ResourceKey[];
}

/** From fewer results the catalog can't conclude whether the Cloud Controller matches anything at all. */
const REPORTED_MIN = 10;

/**
 * Reports files that the Cloud Controller matched. Like the other reports it never throws: what is lost now is observed again by
 * a later push.
 *
 * @param asOf the time before the request to the Cloud Controller, in ms since the epoch
 */
export async function reportMatches(
  keys: readonly ResourceKey[],
  asOf: number,
  context: RequestContext,
): Promise<void> {
  if (keys.length === 0) return;
  // The Cloud Controller does not compare sizes. A file has only one, so that a SHA-1 with several sizes is not credible.
  const bySha1 = Map.groupBy(keys, sha1Of);
  const present = keys.filter((key) => bySha1.get(sha1Of(key))?.length === 1);
  const observations = { asOf, present, sizes: "client-reported" } as const;
  await reportToCatalog(keys, (catalog) => catalog.observe(observations), context);
}

/** Logs and reports matches of the cache that the Cloud Controller rejected, if there are any. */
export async function reportRejections(
  verified: Verified,
  asOf: number,
  context: RequestContext,
): Promise<void> {
  const { confirmed, rejected } = verified;
  if (rejected.length === 0) return;
  const counts = { verified: confirmed.length + rejected.length, rejected: rejected.length };
  context.log.warn("matches-rejected", counts);
  writePoint("matches-rejected", counts, context.configuration, context.log);
  await sendRejections(verified, asOf, context);
}

/** Reports the result of a look-up while the cache is suspended: files that are not matched would be matches of the cache. */
export async function reportWhileSuspended(
  { matched, notMatched }: OriginResult,
  asOf: number,
  context: RequestContext,
): Promise<void> {
  if (notMatched.length > 0)
    await sendRejections({ confirmed: matched, rejected: notMatched }, asOf, context);
}

async function sendRejections(
  { confirmed, rejected }: Verified,
  asOf: number,
  context: RequestContext,
): Promise<void> {
  const verified = confirmed.length + rejected.length;
  const rejections = { asOf, verified, rejected: rejected.map(sha1Of) };
  await reportToCatalog(rejected, (catalog) => catalog.reportRejections(rejections), context);
}

async function reportToCatalog(
  keys: readonly ResourceKey[],
  call: (catalog: CatalogApi) => Promise<unknown>,
  { configuration, log }: RequestContext,
): Promise<void> {
  const outcome = await callCatalog(configuration, call);
  if (outcome instanceof Failure) log.warn("report-failed", { keys: keys.length, cause: outcome.reason });
}

/** Reports rejections while the results of a verification arrive. */
export class RejectionReport {
  readonly #context: RequestContext;
  readonly #asOf = Date.now();
  #confirmed: ResourceKey[] = [];
  #rejected: ResourceKey[] = [];

  /** To be created before the Cloud Controller is requested. */
  constructor(context: RequestContext) {
    this.#context = context;
  }

  readonly add = ({ matched, notMatched }: OriginResult): void => {
    this.#confirmed.push(...matched);
    this.#rejected.push(...notMatched);
    if (this.#confirmed.length + this.#rejected.length >= REPORTED_MIN) this.#context.waitUntil(this.send());
  };

  /** Reports what was added since the last report, if that has a rejection. */
  async send(): Promise<void> {
    if (this.#rejected.length === 0) return;
    const verified = { confirmed: this.#confirmed, rejected: this.#rejected };
    this.#confirmed = [];
    this.#rejected = [];
    await reportRejections(verified, this.#asOf, this.#context);
  }
}
