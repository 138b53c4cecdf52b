import { countOf } from "../bytes/marks.ts";
import type { Contents } from "../cache/contents.ts";
import type { OneAnswer } from "../push-memory/one-answer.ts";
import type { Recalled } from "../push-memory/push-memory.ts";
import { isAnyTold, TOLD_NO, TOLD_YES, UNTOLD } from "../push-memory/tellings.ts";
import type { RequestContext } from "../request-context.ts";
import { Stopwatch } from "../stopwatch.ts";
import { CACHE, type Matches, NOBODY } from "./match.ts";
import type { Question } from "./question.ts";
import type { Tier } from "./tiers/tier.ts";
import { verifyClaims } from "./verification.ts";

/** What has a say over the tiers. */
export interface Overruled {
  /** Resources of which an earlier request of the push was told. */
  told: number;
  /** Claims that the Cloud Controller was asked about before the answer, as far as it answered … */
  verified: number;
  /** … and those of them that it denied. */
  denied: number;
}

/** What an answer claims, by the candidates of its question. */
export interface Claims {
  /** 1 where the answer names it. */
  isHeld: Uint8Array;
  /** Who said so: `NOBODY`, `CACHE` or `ORIGIN`. */
  heldBy: Uint8Array;
  /** 1 where an earlier request of the push was told the same: asked again, it is that one which is verified. */
  relied: Uint8Array;
  /** Whether the Cloud Controller was asked before the answer about what the cache would claim. */
  isVerified: boolean;
  overruled: Overruled;
  /** How long the push memory was waited for once the look-up had ended, and the Cloud Controller for what is verified. */
  ms: Record<"pushMemory" | "verification", number>;
}

/** Where no claim was verified before the answer. */
const NOTHING_ASKED = { verified: 0, denied: 0 };

/**
 * Settles what is claimed of what was found: over it stands what the push was told before, and over the cache what the
 * Cloud Controller denies.
 *
 * @param quickOrigin which answers soon, in part at least; undefined where there is no Cloud Controller
 */
export async function settleClaims(
  { candidates, isEligible }: Question,
  matches: Matches,
  { push, quickOrigin }: { push: OneAnswer; quickOrigin: Tier | undefined },
  context: RequestContext,
): Promise<Claims> {
  const watch = new Stopwatch("pushMemory", "verification");
  const recalled = await push.recalled();
  watch.lap("pushMemory");
  const heldBy = spread(matches.heldBy(), isEligible);
  const claimed = believed(heldBy, recalled);
  const isVerified = recalled.isDoubtful && quickOrigin !== undefined;
  const verification = isVerified
    ? await dropDenied(candidates, claimed, recalled, { origin: quickOrigin, push, context })
    : NOTHING_ASKED;
  watch.lap("verification");
  let told: Uint8Array = claimed.map((by) => (by === NOBODY ? TOLD_NO : TOLD_YES));
  if (!push.isLast) {
    const isUsual = matches.faults.length === 0 && !isEligible.includes(0) && !isAnyTold(recalled.told);
    const isSure = (index: number) => matches.faults.length === 0 && isEligible[index] === 1;
    // Usually all is sure and nothing was told before: then what is claimed is what was found.
    told = await push.settle(isUsual ? told : found(heldBy, claimed, recalled, isSure));
  }
  // All of this may have taken so long that what the cache said counts no more.
  const outlived: number[] = [];
  if (heldBy.includes(CACHE) && !matches.heldBy().includes(CACHE)) {
    told.forEach((mark, index) => {
      // What an earlier request was told stands.
      if (mark === TOLD_YES && heldBy[index] === CACHE && recalled.told[index] === UNTOLD)
        outlived.push(index);
    });
  }
  for (const index of outlived) told[index] = TOLD_NO;
  // The next request must not be told the yes that was settled.
  if (outlived.length > 0 && !push.isLast) await push.revoke(outlived);
  watch.lap("pushMemory");

  return {
    isHeld: told.map((mark) => (mark === TOLD_YES ? 1 : 0)),
    heldBy,
    relied: recalled.relied,
    isVerified,
    overruled: {
      told: recalled.told.length - countOf(recalled.told, UNTOLD),
      ...verification,
    },
    ms: watch.ms,
  };
}

/** What is said of the eligible candidates, of all. */
function spread(ofEligible: Uint8Array, isEligible: Uint8Array): Uint8Array {
  if (!isEligible.includes(0)) return ofEligible.slice();
  let place = 0;
  return isEligible.map((is) => (is ? (ofEligible[place++] as number) : NOBODY));
}

/** Who is believed on each content: what the push was told before stands, whoever says what now. */
function believed(heldBy: Uint8Array, { told }: Recalled): Uint8Array {
  if (!isAnyTold(told)) return heldBy.slice();
  return heldBy.map((by, index) => {
    if (told[index] === TOLD_NO) return NOBODY;
    return told[index] === TOLD_YES ? by || CACHE : by;
  });
}

/**
 * What the look-up has found of each content, for the memory: whatever the push was told before.
 *
 * @param isSure whether the look-up can say of a content that it is not held
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
  candidates: Contents,
  claimed: Uint8Array,
  { told, relied }: Recalled,
  { origin, push, context }: { origin: Tier; push: OneAnswer; context: RequestContext },
): Promise<Omit<Overruled, "told">> {
  const doubtful = candidates.keysWhere((index) => claimed[index] === CACHE);
  if (doubtful.size === 0) return NOTHING_ASKED;
  const verified = await verifyClaims([...doubtful.keys()], origin, context);
  const count = { verified: verified.held.length + verified.denied.length, denied: verified.denied.length };
  if (count.denied === 0) return count;
  const [confirmed, denied] = [new Set(verified.held), new Set(verified.denied)];
  const wrong: number[] = [];
  for (const [key, places] of doubtful) {
    if (confirmed.has(key)) continue;
    for (const index of places) {
      // A yes that was told stands, unless it is denied: and even then where a push may be running that relies on it.
      if (told[index] === TOLD_YES && (relied[index] || !denied.has(key))) continue;
      if (told[index] === TOLD_YES) wrong.push(index);
      claimed[index] = NOBODY;
    }
  }
  if (wrong.length > 0) for (const index of await push.deny(wrong)) claimed[index] = CACHE;
  return count;
}
