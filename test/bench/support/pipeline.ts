import type { EdgeCache } from "../../../src/cache/edge-cache.ts";
import { Deadline } from "../../../src/deadline.ts";
import { Failure } from "../../../src/failure.ts";
import type { RequestContext } from "../../../src/request-context.ts";
import { answerText } from "../../../src/resource-match/answer.ts";
import { ofEligibleMode, ofEligibleSize } from "../../../src/resource-match/eligibility.ts";
import { matchResources } from "../../../src/resource-match/match.ts";
import { parseResources } from "../../../src/resource-match/request.ts";

/** As the Worker's defaults have it. */
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const LOOKUP_DEADLINE_MS = 8_000;

/** As much of a request's context as matching needs. */
const CONTEXT = {
  log: { info() {}, warn: complain, error: complain },
  waitUntil() {},
} satisfies Partial<RequestContext>;

/** From the text of a request to the text of its answer: what the Worker does between reading and writing. */
export async function answerTo(text: string, cache: EdgeCache): Promise<string> {
  const resources = parseResources(text);
  if (resources instanceof Failure) throw new Error(resources.reason);
  const candidates = ofEligibleSize(resources, RULES).filter(ofEligibleMode(resources, RULES));
  const sources = { cache, origin: undefined };
  const deadline = new Deadline(LOOKUP_DEADLINE_MS);
  const matches = await matchResources(candidates, sources, deadline, CONTEXT as unknown as RequestContext);
  if (matches instanceof Response) throw new Error(`refused: ${matches.status}`);
  const heldBy = matches.heldBy();
  const answer = answerText(candidates.filter((_, index) => heldBy[index]));
  // A text that was put together is laid out in memory when it is first read; JSON.stringify's is already.
  answer.charCodeAt(0);
  return answer;
}

function complain(event: string, fields?: object): void {
  throw new Error(`${event} ${JSON.stringify(fields)}`);
}
