import { KEY_BYTES } from "../../../src/bytes/working-memory.ts";
import { Contents } from "../../../src/cache/contents.ts";
import type { EdgeCache } from "../../../src/cache/edge-cache.ts";
import { Failure } from "../../../src/failure.ts";
import type { RequestContext } from "../../../src/request-context.ts";
import { lookUpMatches } from "../../../src/resource-match/lookup.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { Deadline } from "../../../src/time/deadline.ts";

/** As the Worker's defaults have it; the benchmark's files are of all sizes. */
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const LOOKUP_DEADLINE_MS = 8_000;

/** As much of a request's context as matching needs. */
const CONTEXT = {
  log: { info() {}, warn: complain, error: complain },
  waitUntil() {},
} satisfies Partial<RequestContext>;

/** From the bytes of a request to the bytes of its answer: what the Worker does between reading and writing. */
export async function matchBytes(
  body: Uint8Array,
  cache: EdgeCache,
  { minimumSize = 0 }: { minimumSize?: number } = {},
): Promise<Uint8Array> {
  const question = parseMatchRequest(body, { ...RULES, minimumSize });
  if (question instanceof Failure) throw new Error(question.reason);
  const sources = { cache, origin: undefined };
  const deadline = new Deadline(LOOKUP_DEADLINE_MS);
  const context = CONTEXT as unknown as RequestContext;
  const matches = await lookUpMatches(
    question.candidates.only(question.isEligible),
    sources,
    deadline,
    context,
  );
  if (matches instanceof Failure) throw new Error(`refused: ${matches.status}`);
  return question.responseBody(matches.foundBy()).bytes;
}

/** Has a cache read manifest and snapshot: for a look-up of one content, and of no request. */
export async function loadSnapshot(cache: EdgeCache): Promise<void> {
  const one = new Contents(new Uint8Array(KEY_BYTES));
  await cache.lookUp(one, new Deadline(LOOKUP_DEADLINE_MS), CONTEXT);
}

/** The least that JSON takes: the same bytes decoded, parsed, and an answer printed and encoded. */
export function jsonAlone(body: Uint8Array, answer: unknown): Uint8Array {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  return JSON.parse(text) && new TextEncoder().encode(JSON.stringify(answer));
}

function complain(event: string, fields?: object): void {
  throw new Error(`${event} ${JSON.stringify(fields)}`);
}
