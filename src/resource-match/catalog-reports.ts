import { callCatalog } from "../catalog/call-catalog.ts";
import type { CatalogApi } from "../catalog/catalog-api.ts";
import { Failure } from "../failure.ts";
import { writePoint } from "../observability/metrics.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resources/resource-key.ts";
import type { OriginResult } from "./origin.ts";

/** Fewer results do not show the catalog whether the Cloud Controller matches anything at all. */
const REPORTED_MIN = 10;

/**
 * Reports files that the Cloud Controller matched. Like the other reports it never throws: a later push repeats an observation that
 * is lost.
 *
 * @param asOf the time before the request to the Cloud Controller, in ms since the epoch
 */
export async function reportMatches(
  keys: readonly ResourceKey[],
  asOf: number,
  context: RequestContext,
): Promise<void> {
  if (keys.length === 0) return;
  // The Cloud Controller does not compare sizes. A file has one size, so several sizes for a SHA-1 are not credible.
  const bySha1 = Map.groupBy(keys, sha1Of);
  const present = keys.filter((key) => bySha1.get(sha1Of(key))?.length === 1);
  const observations = { asOf, present, sizes: "client-reported" } as const;
  await reportToCatalog(keys, (catalog) => catalog.observe(observations), context);
}

/** Reports files that the Cloud Controller did not match, if there are any, as rejected matches of the cache. */
export async function reportRejections(
  { matched, notMatched }: OriginResult,
  asOf: number,
  context: RequestContext,
): Promise<void> {
  if (notMatched.length === 0) return;
  const verified = matched.length + notMatched.length;
  const rejections = { asOf, verified, rejected: notMatched.map(sha1Of) };
  await reportToCatalog(notMatched, (catalog) => catalog.reportRejections(rejections), context);
}

/** Logs and reports the rejections among verified matches of the cache, if there are any. */
export async function reportVerification(
  verified: OriginResult,
  asOf: number,
  context: RequestContext,
): Promise<void> {
  const { matched, notMatched } = verified;
  if (notMatched.length === 0) return;
  const counts = { verified: matched.length + notMatched.length, rejected: notMatched.length };
  context.log.warn("matches-rejected", counts);
  writePoint("matches-rejected", counts, context.configuration, context.log);
  await reportRejections(verified, asOf, context);
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
  #matched: ResourceKey[] = [];
  #notMatched: ResourceKey[] = [];

  /** Create it before the request to the Cloud Controller: rejections are reported as of this time. */
  constructor(context: RequestContext) {
    this.#context = context;
  }

  readonly add = ({ matched, notMatched }: OriginResult): void => {
    this.#matched.push(...matched);
    this.#notMatched.push(...notMatched);
    if (this.#matched.length + this.#notMatched.length >= REPORTED_MIN) this.#context.waitUntil(this.send());
  };

  /** Reports what was added since the last report, if that has a rejection. */
  async send(): Promise<void> {
    if (this.#notMatched.length === 0) return;
    const verified = { matched: this.#matched, notMatched: this.#notMatched };
    this.#matched = [];
    this.#notMatched = [];
    await reportVerification(verified, this.#asOf, this.#context);
  }
}
