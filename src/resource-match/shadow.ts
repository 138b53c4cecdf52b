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
import { type Comparison, compare } from "./comparison.ts";
import { type MatchRequest, parseMatchRequest } from "./match-request.ts";
import { reportMatches } from "./observe-matches.ts";
import { listedIn, originTier } from "./origin.ts";
import { guardTelemetry } from "./request-metrics.ts";
import { reportRejections } from "./verification.ts";

/**
 * Of a request, and of the answer to it, that are compared: 5,000 resources have less than one. Of more, copies, text and
 * objects would together take what an isolate may hold.
 */
const COMPARED_MAX_BYTES = 4 * 1024 * 1024;

/** What the cache says of a question. */
interface Shadow {
  question: MatchRequest;
  eligible: Contents;
  /** Of each that is eligible 1 where the cache would claim it. */
  wouldMatch: Uint8Array;
  keysAsked: number;
  cacheMs: number;
  /** When the request had arrived whole, in ms since the epoch. */
  receivedAt: number;
}

/** The Cloud Controller's answer. */
interface Answer {
  status: number;
  /** A copy of a 201 to a request that may be compared; of no other answer. */
  copy: Response | undefined;
  url: string;
  authorization: string;
  /** The moment before it was asked, in ms since the epoch. */
  askedAt: number;
}

/** What is told of a comparison. */
const NOTHING_COMPARED = {
  ...{ resources: 0, eligible: 0, keysAsked: 0 },
  ...{ wouldMatch: 0, bytesSaved: 0, wrongYes: 0, missing: 0 },
  ms: { cloudController: 0, cache: 0 },
};

/**
 * Has the Cloud Controller answer, and returns that as it came. Behind the answer it is compared with what the cache would
 * have said, of which only log and METRICS hear; the catalog hears what the Cloud Controller has said.
 */
export async function handleInShadow(
  request: Request,
  url: string,
  context: RequestContext,
): Promise<Response | Failure> {
  const askedAt = Date.now();
  const authorization = request.headers.get("Authorization") ?? "";
  // What nobody reads of a copy is matched in memory: of a body that is too large, and of its answer, none is begun.
  const isComparable = Number(request.headers.get("Content-Length")) <= COMPARED_MAX_BYTES;
  const shadow = isComparable ? ask(request.clone(), context).catch(Failure.unexpected) : undefined;
  const answer = await passThrough(request, url);
  const isCopied = isComparable && answer instanceof Response && answer.status === 201;
  const copy = isCopied ? answer.clone() : undefined;
  context.waitUntil(report(shadow, { status: answer.status, copy, url, authorization, askedAt }, context));
  return answer;
}

/** Asks the cache, once the caller's token is verified: nobody without one learns, or teaches, what it holds. */
async function ask(request: Request, context: RequestContext): Promise<Shadow | Failure> {
  const { eligibility, features, lookupDeadlineMs } = context.configuration;
  const body = await readRequestBody(request, COMPARED_MAX_BYTES);
  const receivedAt = Date.now();
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const question = parseMatchRequest(body, eligibility);
  if (question instanceof Failure) return question;
  if (!features.resourceMatching) throw new Error("FEATURE_RESOURCE_MATCHING is false");

  const eligible = question.candidates.only(question.isEligible);
  const cache = edgeCacheOf(context.configuration);
  const {
    isPresent: matched,
    tiers,
    faults,
  } = await cache.lookUp(eligible, new Deadline(lookupDeadlineMs), context);
  for (const { details } of faults) context.log.warn("lookup-incomplete", { ...details });
  const { memory, keys } = tiers;
  return {
    ...{ question, eligible, wouldMatch: matched(), receivedAt },
    ...{ keysAsked: keys.requested, cacheMs: memory.ms + keys.ms },
  };
}

/** Tells how the cache compares, and the catalog what there is to learn. Never throws. */
async function report(
  asked: Promise<Shadow | Failure> | undefined,
  answer: Answer,
  context: RequestContext,
): Promise<void> {
  const { configuration, log } = context;
  const { status, copy } = answer;
  try {
    if (status !== 201) throw new Error(`the Cloud Controller's status is ${status}`);
    if (!asked || !copy) throw new Error(`the request: more than ${COMPARED_MAX_BYTES} bytes`);
    const listing = await readBody(copy.body, COMPARED_MAX_BYTES);
    const cloudControllerReadAt = Date.now();
    const shadow = await asked;
    if (shadow instanceof Failure) throw new Error(`the request: ${shadow.reason}`);
    if (listing instanceof Failure) throw new Error(`the answer: ${listing.reason}`);
    // Only to a good question is the answer sure to be a list of what a question may have.
    const comparison = compare(shadow.eligible, shadow.wouldMatch, listedIn(listing));
    const { wouldMatch, bytesSaved, staleMatches: wrongYes, missedMatches: missing } = comparison;
    const figures = {
      ...{ resources: shadow.question.count, eligible: shadow.eligible.count, keysAsked: shadow.keysAsked },
      ...{ wouldMatch, bytesSaved, wrongYes, missing },
      ms: { cloudController: cloudControllerReadAt - shadow.receivedAt, cache: shadow.cacheMs },
    };
    guardTelemetry(log, () => {
      log[wrongYes > 0 ? "warn" : "info"]("shadowed", { outcome: "compared", ...figures });
      writePoint("shadowed", { outcome: "compared", status, ...columnsOf(figures) }, configuration, log);
    });
    await learn(comparison, answer, context);
  } catch (error) {
    guardTelemetry(log, () => {
      log.info("shadowed", { outcome: "not-compared", status, reason: causeOf(error) });
      const point = { outcome: "not-compared", status, ...columnsOf(NOTHING_COMPARED) };
      writePoint("shadowed", point, configuration, log);
    });
  }
}

function columnsOf({
  ms,
  keysAsked,
  wouldMatch,
  bytesSaved,
  wrongYes,
  missing,
  ...rest
}: typeof NOTHING_COMPARED) {
  return {
    ...{ cloud_controller_ms: ms.cloudController, cache_ms: ms.cache, keys_read: keysAsked },
    ...{ would_match: wouldMatch, bytes_saved: bytesSaved, stale_matches: wrongYes, missed_matches: missing },
    ...rest,
  };
}

/** The catalog hears of what the cache lacks; what it has too much is asked once more, whatever the modes were. */
async function learn(
  { confirmed, contradicted, matchedBesides }: Comparison,
  { url, authorization, askedAt }: Answer,
  context: RequestContext,
): Promise<void> {
  if (matchedBesides.length > 0) await reportMatches(matchedBesides, askedAt, context);
  if (contradicted.length === 0) return;
  const { requestId, traceHeaders } = context;
  const origin = originTier({ url, authorization, requestId, traceHeaders });
  const { matched, rejected } = await origin.lookUp(contradicted, new Deadline(TIMEOUT_MS.afterResponse));
  await reportRejections({ matched: [...confirmed, ...matched], rejected }, askedAt, context);
}
