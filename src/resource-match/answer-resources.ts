import { edgeCacheOf } from "../cache/edge-cache.ts";
import { Deadline } from "../deadline.ts";
import { jsonResponse } from "../failure.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { OneAnswer } from "../push-memory/one-answer.ts";
import type { Recalled } from "../push-memory/push-memory.ts";
import { TOLD_NO, TOLD_YES, UNTOLD } from "../push-memory/tellings.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, resourceKey } from "../resource-key.ts";
import { answerText } from "./answer.ts";
import { ofEligibleMode, ofEligibleSize, withMinimumMode } from "./eligibility.ts";
import { CACHE, type Matches, matchResources, NOBODY, ORIGIN } from "./match.ts";
import { observeMatches } from "./observe-matches.ts";
import type { Resource } from "./request.ts";
import { type Overruled, reportMatches } from "./telemetry.ts";
import { originTier, RESOURCES_PER_QUICK_QUESTION } from "./tiers/origin.ts";
import type { Tier } from "./tiers/tier.ts";
import { tellDenials, verifyClaims, verifySample } from "./verification.ts";

const MODE_WARNING =
  "Files were matched with a mode that the platform takes, since their content had been matched before.";

/** Where no claim was verified before the answer. */
const NOTHING_ASKED = { verified: 0, denied: 0 };

/** Who asks. */
export interface Asker {
  /** GUID of the user or id of the client. */
  id: string;
  /** The Authorization header, for the Cloud Controller. */
  authorization: string;
}

/**
 * Answers with those of `resources` that the pool holds: what the tiers say of each content, and over that what earlier
 * requests of the same push were told.
 *
 * @param resources whose checksums are hex
 */
export async function answerResources(
  resources: readonly Resource[],
  { id, authorization }: Asker,
  context: RequestContext,
): Promise<Response> {
  const { configuration, requestId, waitUntil } = context;
  const { cloudControllerUrl: url, eligibility: rules } = configuration;
  const cache = edgeCacheOf(configuration);
  const cloudController = url === undefined ? undefined : { url, authorization, requestId };
  const origin = cloudController && originTier(cloudController);
  const candidates = ofEligibleSize(resources, rules);
  const isOneOfSeveral = resources.length === RESOURCES_PER_REQUEST_MAX;
  const push = new OneAnswer(candidates, id, !isOneOfSeveral, context);

  // What the Cloud Controller matches is true as of the moment before it is asked.
  const askedAt = Date.now();
  const deadline = new Deadline(configuration.lookupDeadlineMs);
  const isEligible = candidates.map(ofEligibleMode(resources, rules));
  const eligible = candidates.filter((_, index) => isEligible[index]);
  const matches = await matchResources(eligible, { cache, origin }, deadline, context);
  if (matches instanceof Response) return matches;

  const recalled = await push.recalled();
  const heldBy = spread(matches.heldBy(), isEligible);
  const claimed = claims(heldBy, recalled);
  const isVerified = recalled.isDoubtful && cloudController !== undefined;
  let verification = NOTHING_ASKED;
  if (isVerified) {
    const quick = originTier({ ...cloudController, resourcesPerQuestion: RESOURCES_PER_QUICK_QUESTION });
    verification = await dropDenied(candidates, claimed, recalled, { origin: quick, push, context });
  }
  let told: Uint8Array = claimed.map((by) => (by === NOBODY ? TOLD_NO : TOLD_YES));
  if (isOneOfSeveral) {
    const isSure = (index: number) => matches.faults.length === 0 && isEligible[index] === true;
    told = await push.settle(found(heldBy, claimed, recalled, isSure));
  }
  // All of this may have taken so long that what the cache said counts no more.
  const heldAtLast = spread(matches.heldBy(), isEligible);
  const outlived = [...told.keys()].filter(
    (index) =>
      told[index] === TOLD_YES &&
      // What an earlier request was told stands.
      recalled.told[index] === UNTOLD &&
      heldBy[index] === CACHE &&
      heldAtLast[index] === NOBODY,
  );
  for (const index of outlived) told[index] = TOLD_NO;
  // The next request must not be told the yes that was settled.
  if (isOneOfSeveral && outlived.length > 0) await push.deny(outlived);

  const held = candidates.filter((_, index) => told[index] === TOLD_YES);
  const answered = held.map((resource) => withMinimumMode(resource, rules));
  const warnings = matches.faults.map(({ warning }) => warning);
  if (answered.some((resource, index) => resource !== held[index])) warnings.push(MODE_WARNING);
  const toldBefore = recalled.told.filter((mark) => mark !== UNTOLD).length;
  const overruled = { told: toldBefore, ...verification };
  reportMatches({ resources: resources.length, matched: answered.length }, matches, overruled, context);

  const unverified = keysOf(candidates, (index) => told[index] === TOLD_YES && heldBy[index] !== ORIGIN);
  if (unverified.length === 0) waitUntil(push.unclaimed());
  else if (origin && !isVerified) waitUntil(verifySample(unverified, origin, context));
  observe(matches, askedAt, context);
  return answer(answered, warnings);
}

/** The answer that names these resources, in their order. */
export function answer(resources: readonly Resource[], warnings: readonly string[] = []): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(answerText(resources), 201, headers);
}

/** What is said of the eligible resources, of all. */
function spread(ofEligible: Uint8Array, isEligible: readonly boolean[]): Uint8Array {
  let place = 0;
  return Uint8Array.from(isEligible, (is) => (is ? (ofEligible[place++] as number) : NOBODY));
}

/** Who is believed on each resource: what the push was told before stands, whoever says what now. */
function claims(heldBy: Uint8Array, { told }: Recalled): Uint8Array {
  return heldBy.map((by, index) => {
    if (told[index] === TOLD_NO) return NOBODY;
    return told[index] === TOLD_YES ? by || CACHE : by;
  });
}

/**
 * What the look-up has found of each resource, for the memory: whatever the push was told before.
 *
 * @param isSure whether the look-up can say of a resource that it is not held
 */
function found(
  heldBy: Uint8Array,
  claimed: Uint8Array,
  { told }: Recalled,
  isSure: (index: number) => boolean,
): Uint8Array {
  return heldBy.map((by, index) => {
    if (by === NOBODY) return isSure(index) ? TOLD_NO : UNTOLD;
    // Held, and not claimed: it was told no before, or has been denied.
    return claimed[index] === NOBODY && told[index] !== TOLD_NO ? TOLD_NO : TOLD_YES;
  });
}

/**
 * The same question again: most likely a push that has failed, over a claim of the cache. What the Cloud Controller does
 * not confirm now is not claimed, once it has denied anything.
 *
 * @returns how many claims it has answered, and denied
 */
async function dropDenied(
  resources: readonly Resource[],
  claimed: Uint8Array,
  { told, relied }: Recalled,
  { origin, push, context }: { origin: Tier; push: OneAnswer; context: RequestContext },
): Promise<Omit<Overruled, "told">> {
  const doubtful = keysOf(resources, (index) => claimed[index] === CACHE);
  if (doubtful.length === 0) return NOTHING_ASKED;
  const verified = await verifyClaims(doubtful, origin, context);
  const count = { verified: verified.held.length + verified.denied.length, denied: verified.denied.length };
  if (count.denied === 0) return count;
  const [confirmed, denied] = [new Set(verified.held), new Set(verified.denied)];
  const wrong: number[] = [];
  resources.forEach(({ checksum, size_in_bytes }, index) => {
    const key = resourceKey(checksum.value, size_in_bytes);
    if (claimed[index] !== CACHE || !key || confirmed.has(key)) return;
    // A yes that was told stands, unless it is denied: and even then where a push may be running that relies on it.
    if (told[index] === TOLD_YES && (relied[index] || !denied.has(key))) return;
    if (told[index] === TOLD_YES) wrong.push(index);
    claimed[index] = NOBODY;
  });
  if (wrong.length > 0) await push.deny(wrong);
  return count;
}

function keysOf(resources: readonly Resource[], isMeant: (index: number) => boolean): ResourceKey[] {
  const keys = resources.flatMap(({ checksum, size_in_bytes }, index) =>
    isMeant(index) ? (resourceKey(checksum.value, size_in_bytes) ?? []) : [],
  );
  return [...new Set(keys)];
}

/** Tells the catalog, behind the answer, what the Cloud Controller has said. */
function observe(
  { cached, matchedByOrigin, deniedByOrigin }: Matches,
  askedAt: number,
  context: RequestContext,
): void {
  if (matchedByOrigin.length > 0) context.waitUntil(observeMatches(matchedByOrigin, askedAt, context));
  // What it lacks is news only where the cache would have claimed it, but for the suspension.
  if (cached.isSuspended && deniedByOrigin.length > 0) {
    const said = { held: matchedByOrigin, denied: deniedByOrigin };
    context.waitUntil(tellDenials(said, askedAt, context));
  }
}
