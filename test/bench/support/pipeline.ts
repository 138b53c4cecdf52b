import { KEY_BYTES } from "../../../src/bytes/working-memory.ts";
import { Contents } from "../../../src/cache/contents.ts";
import type { EdgeCache } from "../../../src/cache/edge-cache.ts";
import { Failure } from "../../../src/failure.ts";
import type { RequestContext } from "../../../src/request-context.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { Deadline } from "../../../src/time/deadline.ts";

/** The Worker's defaults, except for the minimum size: the benchmark's files have all sizes. */
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const LOOKUP_DEADLINE_MS = 8_000;

/** The parts of a request context that matching needs. */
const CONTEXT = {
  log: { info() {}, warn: fail, error: fail },
  waitUntil() {},
} satisfies Partial<RequestContext>;

/** Converts request bytes to response bytes, as the Worker does between reading and sending. */
export async function matchBytes(
  body: Uint8Array,
  cache: EdgeCache,
  { minimumSize = 0 }: { minimumSize?: number } = {},
): Promise<Uint8Array> {
  const request = parseMatchRequest(body, { ...RULES, minimumSize });
  if (request instanceof Failure) throw new Error(request.reason);
  const { isPresent } = await cache.lookUp(request.candidates, new Deadline(LOOKUP_DEADLINE_MS), CONTEXT);
  return request.responseBody(isPresent()).bytes;
}

/** Makes a cache read manifest and snapshot, by a look-up of one content. */
export async function loadSnapshot(cache: EdgeCache): Promise<void> {
  const one = new Contents(new Uint8Array(KEY_BYTES));
  await cache.lookUp(one, new Deadline(LOOKUP_DEADLINE_MS), CONTEXT);
}

/** The minimum that JSON takes: decodes and parses the request, stringifies and encodes the response. */
export function jsonAlone(body: Uint8Array, response: unknown): Uint8Array {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  return JSON.parse(text) && new TextEncoder().encode(JSON.stringify(response));
}

function fail(event: string, fields?: object): void {
  throw new Error(`${event} ${JSON.stringify(fields)}`);
}
