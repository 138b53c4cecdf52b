import { authenticate } from "../auth/authentication.ts";
import type { Contents } from "../cache/contents.ts";
import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Failure } from "../failure.ts";
import { readBody, readRequestBody } from "../http/body.ts";
import { causeOf } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import { passThrough } from "../pass-through.ts";
import type { RequestContext } from "../request-context.ts";
import { Deadline } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { reportMatches, reportVerification } from "./catalog-reports.ts";
import { type Comparison, compareMatches } from "./comparison.ts";
import { parseMatchRequest } from "./match-request.ts";
import { Origin, parseMatches } from "./origin.ts";
import { guardTelemetry } from "./request-metrics.ts";

/**
 * Limit for a request, and for its response, to be compared. 5,000 resources take less than 1 MiB. The copies, texts and objects of
 * larger ones could exceed the memory of an isolate.
 */
const COMPARED_MAX_BYTES = 4 * 1024 * 1024;

/** A look-up whose matches are not returned. */
interface ShadowLookup {
  resources: number;
  eligible: Contents;
  /** 1 for each eligible content that the cache would match. */
  wouldMatch: Uint8Array;
  keysRead: number;
  cacheMs: number;
  /** When the request was complete, in ms since the epoch. */
  receivedAt: number;
  /** For requests to the Cloud Controller. */
  origin: Origin;
}

/** The request to the Cloud Controller, and its response. */
interface Reference {
  status: number;
  /** A copy of the response, if it is a 201 to a request that can be compared. */
  copy: Response | undefined;
  /** The time before the request, in ms since the epoch. */
  requestedAt: number;
}

/**
 * Passes the request through to the Cloud Controller. After the response, compares it with the matches of the cache, logs the result
 * and reports the observations to the catalog.
 */
export async function handleInShadow(
  request: Request,
  url: string,
  context: RequestContext,
): Promise<Response | Failure> {
  const requestedAt = Date.now();
  // The unread part of a copy is buffered in memory. A copy whose length is unknown is read up to the limit, and then cancelled.
  const declaredBytes = request.headers.get("Content-Length");
  const isComparable = declaredBytes === null || Number(declaredBytes) <= COMPARED_MAX_BYTES;
  const lookup = isComparable
    ? lookUpInShadow(request.clone(), url, context).catch((error) => `the request: ${causeOf(error)}`)
    : undefined;
  const response = await passThrough(request, url);
  const { status } = response;
  const copy = isComparable && response instanceof Response && status === 201 ? response.clone() : undefined;
  context.waitUntil(reportComparison(lookup, { status, copy, requestedAt }, context));
  return response;
}

/** Looks up the request in the cache, or returns the reason why it can't be compared. A request without a valid token can't. */
async function lookUpInShadow(
  request: Request,
  url: string,
  context: RequestContext,
): Promise<ShadowLookup | string> {
  const { eligibility, features, lookupDeadlineMs } = context.configuration;
  const authorization = request.headers.get("Authorization") ?? "";
  const body = await readRequestBody(request, COMPARED_MAX_BYTES);
  const receivedAt = Date.now();
  if (body instanceof Failure) return `the request: ${body.reason}`;
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return `the request: ${caller.reason}`;
  const matchRequest = parseMatchRequest(body, eligibility);
  if (matchRequest instanceof Failure) return `the request: ${matchRequest.reason}`;
  if (!features.resourceMatching) return "FEATURE_RESOURCE_MATCHING is false";

  const eligible = matchRequest.candidates.only(matchRequest.isEligible);
  const cache = edgeCacheOf(context.configuration);
  const { isPresent, tiers, faults } = await cache.lookUp(eligible, new Deadline(lookupDeadlineMs), context);
  for (const { details } of faults) context.log.warn("lookup-incomplete", details);
  return {
    resources: matchRequest.count,
    eligible,
    wouldMatch: isPresent(),
    keysRead: tiers.keys.requested,
    cacheMs: tiers.memory.ms + tiers.keys.ms,
    receivedAt,
    origin: new Origin(url, { id: caller.id, authorization }, context),
  };
}

/** Logs and measures the comparison, and reports its observations to the catalog. Never throws. */
async function reportComparison(
  lookup: Promise<ShadowLookup | string> | undefined,
  reference: Reference,
  context: RequestContext,
): Promise<void> {
  const { configuration, log } = context;
  const { status, copy } = reference;
  const body = copy && (await readBody(copy.body, COMPARED_MAX_BYTES));
  const readAt = Date.now();
  const deadline = new Deadline(TIMEOUT_MS.afterResponse);
  const compared = await deadline.race(compare(lookup, status, body)).catch(causeOf);
  if (typeof compared === "string") {
    guardTelemetry(log, () => {
      log.info("shadowed", { outcome: "not-compared", status, reason: compared });
      writePoint("shadowed", { outcome: "not-compared", status }, configuration, log);
    });
    return;
  }
  const { shadow, comparison } = compared;
  guardTelemetry(log, () => logComparison(shadow, comparison.counts, readAt - shadow.receivedAt, context));
  await reportObservations(comparison, shadow.origin, reference.requestedAt, deadline, context);
}

/** Compares the look-up with the body of the Cloud Controller's response, or returns the reason why it can't. */
async function compare(
  lookup: Promise<ShadowLookup | string> | undefined,
  status: number,
  body: Uint8Array | Failure | undefined,
): Promise<{ shadow: ShadowLookup; comparison: Comparison } | string> {
  if (status !== 201) return `the Cloud Controller's status is ${status}`;
  if (!lookup || !body) return `the request: more than ${COMPARED_MAX_BYTES} bytes`;
  const shadow = await lookup;
  if (typeof shadow === "string") return shadow;
  if (body instanceof Failure) return `the response: ${body.reason}`;
  const listed = parseMatches(body);
  if (!listed) return "the response: not a list of resources";
  return { shadow, comparison: compareMatches(shadow.eligible, shadow.wouldMatch, listed) };
}

function logComparison(
  { resources, eligible, keysRead, cacheMs }: ShadowLookup,
  counts: Comparison["counts"],
  cloudControllerMs: number,
  { configuration, log }: RequestContext,
): void {
  const measured = { outcome: "compared", resources, eligible: eligible.count };
  const ms = { cloudController: cloudControllerMs, cache: cacheMs };
  log[counts.staleMatches > 0 ? "warn" : "info"]("shadowed", { ...measured, keysRead, ...counts, ms });
  const point = {
    ...measured,
    cloud_controller_ms: cloudControllerMs,
    cache_ms: cacheMs,
    status: 201,
    would_match: counts.wouldMatch,
    bytes_saved: counts.bytesSaved,
    stale_matches: counts.staleMatches,
    missed_matches: counts.missedMatches,
    keys_read: keysRead,
  };
  writePoint("shadowed", point, configuration, log);
}

/**
 * Reports missed matches, and stale matches that the Cloud Controller also rejects with a mode that it accepts: it does not match a
 * file without a mode, although that is in the pool.
 */
async function reportObservations(
  { confirmed, contradicted, missed }: Comparison,
  origin: Origin,
  requestedAt: number,
  deadline: Deadline,
  context: RequestContext,
): Promise<void> {
  await reportMatches(missed, requestedAt, context);
  if (contradicted.length === 0) return;
  const { matched, notMatched } = await origin.requestMatches(contradicted, deadline);
  const verified = { matched: [...confirmed, ...matched], notMatched };
  await reportVerification(verified, requestedAt, context);
}
