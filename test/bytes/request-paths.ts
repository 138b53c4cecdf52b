import { scan } from "../../src/bytes/requests.ts";
import { Failure } from "../../src/failure.ts";
import { decodeBody } from "../../src/http/body.ts";
import {
  type EligibilityRules,
  type MatchRequest,
  parseMatchRequest,
} from "../../src/resource-match/match-request.ts";
import { parseResources, type Resource } from "../../src/resource-match/resource-schema.ts";

/** The result of a request, the same for every way to parse it. */
export interface Outcome {
  failure?: string;
  count?: number;
  /** The key of each candidate, and whether its mode allows a match. */
  candidates?: [key: string, isEligible: boolean][];
  response?: string;
}

/** Whether the candidate with this index is matched. */
export type IsPresent = (index: number) => boolean;

const encode = (text: string) => new TextEncoder().encode(text);

/** The expected outcome, by JSON.parse, the schema and plain objects. */
export function expectedOutcome(body: Uint8Array, rules: EligibilityRules, isPresent: IsPresent): Outcome {
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (resources instanceof Failure) return outcomeOfFailure(resources);
  const { minimumSize, maximumSize, minimumFileMode: bits = 0 } = rules;
  const permissionsOf = ({ mode }: Resource) => (mode ? Number.parseInt(mode.slice(-4), 8) : 0o744);
  const lacksBits = (resource: Resource) => (permissionsOf(resource) & bits) !== bits;
  const sha1Of = ({ checksum }: Resource) => checksum.value.toLowerCase();
  const isLong = (text: string | null | undefined) => encode(JSON.stringify(text ?? "")).length > 262_144;
  const tooLong = new Set(resources.filter(({ path, mode }) => isLong(path) || isLong(mode)));
  const excluded = new Set([...resources.filter(lacksBits), ...tooLong].map(sha1Of));
  const candidates = resources.filter((resource) => {
    const { size_in_bytes: size } = resource;
    return size >= minimumSize && size <= maximumSize && !tooLong.has(resource);
  });
  const matches = candidates
    .filter((_, index) => isPresent(index))
    .map((resource) => {
      const { checksum, size_in_bytes, path, mode } = resource;
      const match: Record<string, unknown> = {
        checksum: { value: checksum.value },
        size_in_bytes: size_in_bytes === 0 ? 0 : size_in_bytes,
      };
      if (typeof path === "string") match.path = path;
      if (typeof mode === "string") match.mode = lacksBits(resource) ? addBits(mode, bits) : mode;
      return match;
    });
  return {
    count: resources.length,
    candidates: candidates.map((resource) => [
      `${sha1Of(resource)}:${resource.size_in_bytes}`,
      !excluded.has(sha1Of(resource)),
    ]),
    response: JSON.stringify({ resources: matches }),
  };
}

/** The mode with `bits` in its last four digits. It does not get shorter. */
function addBits(mode: string, bits: number): string {
  const digits = mode.slice(-4);
  return mode.slice(0, -4) + (Number.parseInt(digits, 8) | bits).toString(8).padStart(digits.length, "0");
}

/** The outcome that the Worker computes. */
export function actualOutcome(body: Uint8Array, rules: EligibilityRules, isPresent: IsPresent): Outcome {
  const request = parseMatchRequest(body, rules);
  return request instanceof Failure
    ? outcomeOfFailure(request)
    : outcomeOf(request, keysOf(request), isPresent);
}

/** As `actualOutcome`, with a pause between the steps in which other requests run. */
export async function actualOutcomeInSteps(
  body: Uint8Array,
  rules: EligibilityRules,
  isPresent: IsPresent,
  pause: () => Promise<unknown>,
): Promise<Outcome> {
  const request = parseMatchRequest(body, rules);
  await pause();
  if (request instanceof Failure) return outcomeOfFailure(request);
  const keys = keysOf(request);
  await pause();
  return outcomeOf(request, keys, isPresent);
}

function outcomeOfFailure({ kind, reason }: Failure): Outcome {
  return { failure: `${kind} ${reason}` };
}

function keysOf({ candidates, isEligible }: MatchRequest): [string, boolean][] {
  const keys: [string, boolean][] = [];
  for (const [key, indices] of candidates.keysWhere(() => true)) {
    for (const index of indices) keys[index] = [key, isEligible[index] === 1];
  }
  return keys;
}

function outcomeOf(request: MatchRequest, keys: [string, boolean][], isPresent: IsPresent): Outcome {
  const marks = Uint8Array.from(keys, (_, index) => (isPresent(index) ? 1 : 0));
  const response = new TextDecoder().decode(request.responseBody(marks).bytes);
  return { count: request.count, candidates: keys, response };
}

/** Whether the fast path accepts a body. */
export function isCanonical(body: Uint8Array, rules: EligibilityRules): boolean {
  return scan(body, rules) !== undefined;
}
