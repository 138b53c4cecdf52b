import { Deadline } from "../../../src/deadline.ts";
import { Failure } from "../../../src/failure.ts";
import { answerText } from "../../../src/resource-match/answer.ts";
import { matchResources, type Sources } from "../../../src/resource-match/match.ts";
import { parseResources } from "../../../src/resource-match/request.ts";
import type { Tier } from "../../../src/resource-pool/tier.ts";

/** As the Worker's defaults have it. */
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const LOOKUP_DEADLINE_MS = 8_000;

/** The keys tier without KV: asked, and at once without any of them. */
const EMPTY_TIER: Tier = { name: "keys", lookUp: async () => ({ held: [], faults: [] }) };

/** From the text of a request to the text of its answer: what the Worker does between reading and writing. */
export async function answerTo(text: string, snapshot: Sources["snapshot"]): Promise<string> {
  const resources = parseResources(text);
  if (resources instanceof Failure) throw new Error(resources.reason);
  const sources = { snapshot, tiers: [EMPTY_TIER] };
  const matches = await matchResources(resources, RULES, sources, new Deadline(LOOKUP_DEADLINE_MS));
  if (matches instanceof Response) throw new Error(`refused: ${matches.status}`);
  const answer = answerText(matches.resources);
  // A text that was put together is laid out in memory when it is first read; JSON.stringify's is already.
  answer.charCodeAt(0);
  return answer;
}
