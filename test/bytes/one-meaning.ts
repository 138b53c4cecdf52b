import { scan } from "../../src/bytes/requests.ts";
import { Failure } from "../../src/failure.ts";
import { decodeBody } from "../../src/http/body.ts";
import type { EligibilityRules } from "../../src/resource-match/eligibility.ts";
import { type MatchRequest, parseMatchRequest } from "../../src/resource-match/match-request.ts";
import { parseResources, type Resource } from "../../src/resource-match/request.ts";

/** What a request comes to, in whichever way it is read. */
export interface Outcome {
  failure?: string;
  count?: number;
  /** Of each candidate its key, and whether its mode lets it match. */
  candidates?: [key: string, isEligible: boolean][];
  answer?: string;
}

/** Which of the candidates are said to be held. */
export type IsPresent = (index: number) => boolean;

const encode = (text: string) => new TextEncoder().encode(text);

/** By JSON.parse, the schema and plain objects: slow, and what is meant. */
export function meant(body: Uint8Array, rules: EligibilityRules, isPresent: IsPresent): Outcome {
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (resources instanceof Failure) return failed(resources);
  const { minimumSize, maximumSize, minimumFileMode: bits = 0 } = rules;
  const permissionsOf = ({ mode }: Resource) => (mode ? Number.parseInt(mode.slice(-4), 8) : 0o744);
  const lacks = (resource: Resource) => (permissionsOf(resource) & bits) !== bits;
  const sha1Of = ({ checksum }: Resource) => checksum.value.toLowerCase();
  const isLong = (text: string | null | undefined) => encode(JSON.stringify(text ?? "")).length > 262_144;
  const tooLong = new Set(resources.filter(({ path, mode }) => isLong(path) || isLong(mode)));
  const ruledOut = new Set([...resources.filter(lacks), ...tooLong].map(sha1Of));
  const candidates = resources.filter((resource) => {
    const { size_in_bytes: size } = resource;
    return size >= minimumSize && size <= maximumSize && !tooLong.has(resource);
  });
  const answered = candidates
    .filter((_, index) => isPresent(index))
    .map((resource) => {
      const { checksum, size_in_bytes, path, mode } = resource;
      return {
        checksum: { value: checksum.value },
        size_in_bytes: size_in_bytes === 0 ? 0 : size_in_bytes,
        ...(path === null || path === undefined ? {} : { path }),
        ...(mode === null || mode === undefined
          ? {}
          : { mode: lacks(resource) ? completed(mode, bits) : mode }),
      };
    });
  return {
    count: resources.length,
    candidates: candidates.map((resource) => [
      `${sha1Of(resource)}:${resource.size_in_bytes}`,
      !ruledOut.has(sha1Of(resource)),
    ]),
    answer: JSON.stringify({ resources: answered }),
  };
}

/** The last four digits with the bits; no shorter than they were. */
function completed(mode: string, bits: number): string {
  const digits = mode.slice(-4);
  return mode.slice(0, -4) + (Number.parseInt(digits, 8) | bits).toString(8).padStart(digits.length, "0");
}

/** As the Worker reads it. */
export function read(body: Uint8Array, rules: EligibilityRules, isPresent: IsPresent): Outcome {
  const question = parseMatchRequest(body, rules);
  return question instanceof Failure ? failed(question) : outcomeOf(question, keysOf(question), isPresent);
}

/** The same, where every step waits, and anything may come between. */
export async function readInSteps(
  body: Uint8Array,
  rules: EligibilityRules,
  isPresent: IsPresent,
  wait: () => Promise<unknown>,
): Promise<Outcome> {
  const question = parseMatchRequest(body, rules);
  await wait();
  if (question instanceof Failure) return failed(question);
  const keys = keysOf(question);
  await wait();
  return outcomeOf(question, keys, isPresent);
}

function failed({ kind, reason }: Failure): Outcome {
  return { failure: `${kind} ${reason}` };
}

function keysOf({ candidates, isEligible }: MatchRequest): [string, boolean][] {
  const keys: [string, boolean][] = [];
  for (const [key, places] of candidates.keysWhere(() => true)) {
    for (const index of places) keys[index] = [key, isEligible[index] === 1];
  }
  return keys;
}

function outcomeOf(question: MatchRequest, keys: [string, boolean][], isPresent: IsPresent): Outcome {
  const marks = Uint8Array.from(keys, (_, index) => (isPresent(index) ? 1 : 0));
  const answer = new TextDecoder().decode(question.responseBody(marks).bytes);
  return { count: question.count, candidates: keys, answer };
}

/** Whether the module reads it itself. */
export function isUsual(body: Uint8Array, rules: EligibilityRules): boolean {
  return scan(body, rules) !== undefined;
}
