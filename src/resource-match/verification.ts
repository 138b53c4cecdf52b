import type { Contents } from "../cache/contents.ts";
import { callCatalog } from "../catalog/call-catalog.ts";
import { Failure } from "../failure.ts";
import { writePoint } from "../observability/metrics.ts";
import { ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import { MATCH, NO_MATCH, REJECTED, UNDECIDED } from "../push-sessions/decisions.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, sha1Of } from "../resources/resource-key.ts";
import { Deadline } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { ORIGIN } from "./lookup.ts";
import { type Origin, quickRequestSize } from "./origin.ts";
import type { TierResult } from "./tier.ts";

/** Matches of each response that the Cloud Controller is asked about after it. */
const SAMPLE = 5;
/** The share of a look-up's time that a verification before the response gets. */
const DEADLINE_SHARE = 1 / 4;
/** Requests to the Cloud Controller for one verification, before the response and after it each. */
const REQUESTS_MAX = 20;

/** Answers to fewer matches are reported together. */
const REPORTED_MIN = 10;

/** What the Cloud Controller says of matches; of the rest it has said nothing. */
export type Verified = Pick<TierResult, "matched" | "rejected">;

/** Marks of the candidates of a request: what the look-up found, and where, and what earlier requests decided. */
interface Marks {
  found: Uint8Array;
  foundBy: Uint8Array;
  decided: Uint8Array;
}

/**
 * Has the Cloud Controller verify the matches of the cache before the response, unless an earlier decision is final. Corrects what was
 * found: once anything is rejected, a match that is not confirmed does not count; an earlier decision changes only if it is rejected
 * itself.
 *
 * @param isFinal whether earlier decisions are final
 * @returns undefined if there is nothing to verify
 */
export async function verifyFound(
  candidates: Contents,
  { found, foundBy, decided }: Marks,
  isFinal: boolean,
  origin: Origin,
  context: RequestContext,
): Promise<Verified | undefined> {
  const isOpen = (index: number) => decided[index] === UNDECIDED;
  const isChangeable = (index: number) => decided[index] === MATCH && !isFinal;
  const keys = candidates.keysWhere((index) => {
    const isMatch = isOpen(index) ? found[index] === MATCH : isChangeable(index) && found[index] !== REJECTED;
    return isMatch && foundBy[index] !== ORIGIN;
  });
  if (keys.size === 0) return undefined;
  // The look-up may have rejected an earlier match.
  const hasLost = found.some((mark, index) => mark === REJECTED && isChangeable(index));
  const verified = await verifyMatches([...keys.keys()], origin, context);
  const [confirmed, rejected] = [new Set(verified.matched), new Set(verified.rejected)];
  for (const [key, places] of keys) {
    for (const index of places) {
      if (confirmed.has(key)) foundBy[index] = ORIGIN;
      else if (rejected.has(key)) found[index] = REJECTED;
      else if ((hasLost || rejected.size > 0) && isOpen(index)) found[index] = NO_MATCH;
    }
  }
  return verified;
}

/**
 * Has the Cloud Controller verify matches of the cache before the response: as many as it can answer by then, drawn at random. The rest
 * follows after the response.
 */
async function verifyMatches(
  matches: readonly ResourceKey[],
  origin: Origin,
  context: RequestContext,
): Promise<Verified> {
  const all = drawn(matches, matches.length);
  const ms = context.configuration.lookupDeadlineMs * DEADLINE_SHARE;
  const size = quickRequestSize(ms, REQUESTS_MAX);
  const first = all.slice(0, REQUESTS_MAX * size);
  const report = new RejectionReport(context);
  const { matched, rejected } = await origin(size).lookUp(first, new Deadline(ms), report.add);
  const answered = new Set([...matched, ...rejected]);
  const rest = all.filter((key) => !answered.has(key));
  context.waitUntil(verifyAfterResponse(rest, origin, report));
  return { matched, rejected };
}

/** Has the Cloud Controller verify a few matches after the response, and if it rejects one, all. Never throws. */
export async function verifySample(
  matches: readonly ResourceKey[],
  origin: Origin,
  context: RequestContext,
): Promise<void> {
  const all = drawn(matches, matches.length);
  const deadline = new Deadline(context.configuration.lookupDeadlineMs);
  const report = new RejectionReport(context);
  const { rejected } = await origin().lookUp(all.slice(0, SAMPLE), deadline, report.add);
  if (rejected.length > 0) await verifyAfterResponse(all.slice(SAMPLE), origin, report);
}

/** @param matches in random order */
async function verifyAfterResponse(
  matches: readonly ResourceKey[],
  origin: Origin,
  report: RejectionReport,
): Promise<void> {
  const some = matches.slice(0, REQUESTS_MAX * ORIGIN_RESOURCES_PER_REQUEST);
  await origin().lookUp(some, new Deadline(TIMEOUT_MS.afterResponse), report.add);
  await report.send();
}

/** Reports to the catalog which matches of the cache the Cloud Controller rejects, as its answers come. */
class RejectionReport {
  readonly #context: RequestContext;
  /** Before the Cloud Controller is asked, in ms since the epoch. */
  readonly #askedAt = Date.now();
  #matched: ResourceKey[] = [];
  #rejected: ResourceKey[] = [];

  constructor(context: RequestContext) {
    this.#context = context;
  }

  readonly add = ({ matched, rejected }: Verified): void => {
    this.#matched.push(...matched);
    this.#rejected.push(...rejected);
    // From fewer, the catalog can't conclude whether the Cloud Controller matches anything at all.
    if (this.#matched.length + this.#rejected.length >= REPORTED_MIN) this.#context.waitUntil(this.send());
  };

  /** Never throws: what is not reported now is reported by the next verification. */
  async send(): Promise<void> {
    const [matched, rejected] = [this.#matched, this.#rejected];
    if (rejected.length === 0) return;
    this.#matched = [];
    this.#rejected = [];
    await reportRejections({ matched, rejected }, this.#askedAt, this.#context);
  }
}

/**
 * Reports to the catalog which matches of the cache the Cloud Controller rejected, if any. Never throws.
 *
 * @param askedAt the moment before the Cloud Controller was asked, in ms since the epoch
 */
export async function reportRejections(
  { matched, rejected }: Verified,
  askedAt: number,
  context: RequestContext,
): Promise<void> {
  if (rejected.length === 0) return;
  const verified = matched.length + rejected.length;
  context.log.warn("matches-rejected", { verified, rejected: rejected.length });
  writePoint("matches-rejected", { verified, rejected: rejected.length }, context.configuration, context.log);
  await reportToCatalog({ matched, rejected }, askedAt, context);
}

/** Reports to the catalog what the Cloud Controller lacks. Never throws. */
export async function reportToCatalog(
  { matched, rejected }: Verified,
  asOf: number,
  { configuration, log }: RequestContext,
): Promise<void> {
  const verified = matched.length + rejected.length;
  const rejections = { asOf, verified, rejected: rejected.map(sha1Of) };
  const outcome = await callCatalog(configuration, (catalog) => catalog.reportRejections(rejections));
  if (outcome instanceof Failure) log.warn("report-failed", { keys: rejected.length, cause: outcome.reason });
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
