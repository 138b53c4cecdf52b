import type { Contents } from "../cache/contents.ts";
import { ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import { MATCH, NO_MATCH, REJECTED, UNDECIDED } from "../push-sessions/decisions.ts";
import type { RequestContext } from "../request-context.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import { Deadline } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { RejectionReport } from "./catalog-reports.ts";
import { CACHE, CONFIRMED, ORIGIN } from "./lookup.ts";
import { type Origin, type OriginResult, quickRequestSize } from "./origin.ts";

/** Matches that are verified after each response. */
const SAMPLE_SIZE = 5;
/** Share of LOOKUP_DEADLINE_MS for a verification before the response. */
const DEADLINE_SHARE = 1 / 4;
/** Requests to the Cloud Controller per verification, before the response and after it. */
const REQUESTS_MAX = 20;

/** Marks of the candidates of a request: the results of the look-up, where it found them, and earlier decisions. */
interface Marks {
  found: Uint8Array;
  foundBy: Uint8Array;
  decided: Uint8Array;
}

/**
 * Lets the Cloud Controller verify the matches of the cache before the response, except those that an earlier decision makes final.
 * Corrects the marks: after one rejection, new matches count only if they are confirmed. An earlier match changes only if it is
 * rejected itself.
 *
 * @param isFinal whether earlier decisions are final
 * @returns undefined if there is nothing to verify
 */
export async function verifyBeforeResponse(
  candidates: Contents,
  { found, foundBy, decided }: Marks,
  isFinal: boolean,
  origin: Origin,
  context: RequestContext,
): Promise<OriginResult | undefined> {
  const isUndecided = (index: number) => decided[index] === UNDECIDED;
  const isChangeable = (index: number) => decided[index] === MATCH && !isFinal;
  const keys = candidates.keysWhere((index) => {
    if (foundBy[index] === ORIGIN) return false;
    return isUndecided(index) ? found[index] === MATCH : isChangeable(index) && found[index] !== REJECTED;
  });
  if (keys.size === 0) return undefined;
  // The look-up may have rejected an earlier match.
  const hasRejection = found.some((mark, index) => mark === REJECTED && isChangeable(index));
  const verified = await verifyInTime([...keys.keys()], origin, context);
  const confirmed = new Set(verified.matched);
  const rejected = new Set(verified.notMatched);
  for (const [key, places] of keys) {
    for (const index of places) {
      if (confirmed.has(key)) foundBy[index] = foundBy[index] === CACHE ? CONFIRMED : ORIGIN;
      else if (rejected.has(key)) found[index] = REJECTED;
      else if ((hasRejection || rejected.size > 0) && isUndecided(index)) found[index] = NO_MATCH;
    }
  }
  return verified;
}

/** Verifies as many matches, drawn at random, as the Cloud Controller can look up before the response, and the rest after it. */
async function verifyInTime(
  matches: readonly ResourceKey[],
  origin: Origin,
  context: RequestContext,
): Promise<OriginResult> {
  const shuffled = shuffle(matches);
  const ms = context.configuration.lookupDeadlineMs * DEADLINE_SHARE;
  const resourcesPerRequest = quickRequestSize(ms, REQUESTS_MAX);
  const first = shuffled.slice(0, REQUESTS_MAX * resourcesPerRequest);
  const report = new RejectionReport(context);
  const options = { resourcesPerRequest, onResult: report.add };
  const { matched, notMatched } = await origin.requestMatches(first, new Deadline(ms), options);
  const verified = new Set([...matched, ...notMatched]);
  const rest = shuffled.filter((key) => !verified.has(key));
  context.waitUntil(verifyRest(rest, origin, report, new Deadline(TIMEOUT_MS.afterResponse)));
  return { matched, notMatched };
}

/** Verifies a few matches after the response, and all of them if one is rejected. Never throws. */
export async function verifySample(
  matches: readonly ResourceKey[],
  origin: Origin,
  context: RequestContext,
): Promise<void> {
  const shuffled = shuffle(matches);
  const deadline = new Deadline(TIMEOUT_MS.afterResponse);
  const report = new RejectionReport(context);
  const sample = shuffled.slice(0, SAMPLE_SIZE);
  const { notMatched } = await origin.requestMatches(sample, deadline, { onResult: report.add });
  if (notMatched.length > 0) await verifyRest(shuffled.slice(SAMPLE_SIZE), origin, report, deadline);
}

/** @param matches in random order */
async function verifyRest(
  matches: readonly ResourceKey[],
  origin: Origin,
  report: RejectionReport,
  deadline: Deadline,
): Promise<void> {
  const first = matches.slice(0, REQUESTS_MAX * ORIGIN_RESOURCES_PER_REQUEST);
  await origin.requestMatches(first, deadline, { onResult: report.add });
  await report.send();
}

function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items];
  const random = crypto.getRandomValues(new Uint32Array(items.length));
  random.forEach((number, index) => {
    const other = index + (number % (items.length - index));
    [shuffled[index], shuffled[other]] = [shuffled[other] as T, shuffled[index] as T];
  });
  return shuffled;
}
