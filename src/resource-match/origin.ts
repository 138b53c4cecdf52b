import * as v from "valibot";
import { chunks } from "../chunks.ts";
import { Failure } from "../failure.ts";
import { readBody } from "../http/body.ts";
import type { TraceHeaders } from "../http/trace-headers.ts";
import { causeOf } from "../observability/log.ts";
import { ANY_MODE, ORIGIN_ANSWER_MAX_BYTES, ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import { type ResourceKey, resourceKey, sha1Of, sizeOf } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import type { Tier, TierResult } from "./tier.ts";

interface OriginTierOptions {
  /** CLOUD_CONTROLLER_URL, without a slash at its end. */
  url: string;
  /** The caller's own header. */
  authorization: string;
  requestId: string;
  /** The ids by which its log can be searched for the push. */
  traceHeaders: TraceHeaders;
}

/** The Cloud Controller, in requests of 250 resources or of another number. */
export type Origin = (resourcesPerRequest?: number) => Tier;

const ORIGIN = "origin";

/** What the Cloud Controller takes for a file, which it looks up one after the other. */
const MS_PER_FILE = 12;
const QUICK_RESOURCES_MIN = 40;
const CONCURRENT_REQUESTS = 4;

/** How many resources a request may have for `requests` of them to be answered within `ms`. */
export function quickRequestSize(ms: number, requests: number): number {
  const size = Math.floor((ms * CONCURRENT_REQUESTS) / (requests * MS_PER_FILE));
  return Math.min(Math.max(size, QUICK_RESOURCES_MIN), ORIGIN_RESOURCES_PER_REQUEST);
}

/**
 * Statuses by which the Cloud Controller refuses the caller, not just this look-up. A 422 is none: it judges the question,
 * which the Worker has put together itself.
 */
const REFUSALS = [401, 403, 409];
const REFUSAL_HEADERS = ["Content-Type", "X-Cf-Warnings", "Retry-After", "WWW-Authenticate"];

const WARNING =
  "The Cloud Controller did not match resources: some files may be uploaded although the platform holds them.";

const Matched = v.object({
  resources: v.array(v.object({ checksum: v.object({ value: v.string() }), size_in_bytes: v.number() })),
});
const ErrorEnvelope = v.object({ errors: v.pipe(v.array(v.unknown()), v.nonEmpty()) });

/** The pool as the Cloud Controller knows it: slow, but it has the last word. */
export function originTier(
  { url, authorization, requestId, traceHeaders }: OriginTierOptions,
  resourcesPerRequest = ORIGIN_RESOURCES_PER_REQUEST,
): Tier {
  async function ask(keys: readonly ResourceKey[], deadline: Deadline): Promise<TierResult> {
    const response = await fetch(`${url}/v3/resource_matches`, {
      method: "POST",
      headers: {
        Authorization: authorization,
        "Content-Type": "application/json",
        "X-Vcap-Request-Id": requestId,
        ...traceHeaders,
      },
      body: JSON.stringify({ resources: keys.map(toResource) }),
      redirect: "manual",
      cache: "no-store",
      signal: deadline.signal,
    });
    const body = await readBody(response.body, ORIGIN_ANSWER_MAX_BYTES);
    if (body instanceof Failure) throw new Error(`status ${response.status}, ${body.reason}`);

    // Any other body with such a status is not the Cloud Controller's: something between it and here failed.
    if (REFUSALS.includes(response.status) && v.is(ErrorEnvelope, jsonOf(body))) {
      return { matched: [], rejected: [], faults: [], refusal: relay(response, body) };
    }
    if (response.status !== 201) throw new Error(`status ${response.status}`);
    const matched = matchedKeys(listedIn(body), new Set(keys));
    return { matched: [...matched], rejected: keys.filter((key) => !matched.has(key)), faults: [] };
  }

  return {
    name: ORIGIN,
    async lookUp(keys, deadline, onAnswer) {
      const answers: TierResult[] = [];
      const waiting = chunks(keys, resourcesPerRequest);
      const askInTurn = async () => {
        for (let some = waiting.shift(); some; some = waiting.shift()) {
          const keys = some;
          const answer = await deadline.race(ask(keys, deadline)).catch((error) => unanswered(keys, error));
          answers.push(answer);
          onAnswer?.(answer);
          if (answer.refusal) waiting.length = 0;
        }
      };
      await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, askInTurn));
      return joined(answers);
    },
  };
}

/** Nothing matched, for a reason. */
function unanswered({ length: unread }: readonly ResourceKey[], error: unknown): TierResult {
  return {
    matched: [],
    rejected: [],
    faults: [{ warning: WARNING, details: { tier: ORIGIN, unread, causes: [causeOf(error)] } }],
  };
}

/** All answers as one, which warns once. */
function joined(answers: readonly TierResult[]): TierResult {
  const refusal = answers.find((answer) => answer.refusal)?.refusal;
  const details = answers.flatMap(({ faults }) => faults.map((fault) => fault.details));
  const unread = details.reduce((sum, each) => sum + each.unread, 0);
  const causes = [...new Set(details.flatMap((each) => each.causes))];
  return {
    matched: answers.flatMap(({ matched }) => matched),
    rejected: answers.flatMap(({ rejected }) => rejected),
    faults: details.length === 0 ? [] : [{ warning: WARNING, details: { tier: ORIGIN, unread, causes } }],
    ...(refusal ? { refusal } : {}),
  };
}

function toResource(key: ResourceKey) {
  return { checksum: { value: sha1Of(key) }, size_in_bytes: sizeOf(key), mode: ANY_MODE };
}

/**
 * The keys of the resources that a 201 of the Cloud Controller lists, one for each entry; undefined for one that has none.
 *
 * @throws where it is no list of resources
 */
export function listedIn(body: Uint8Array): (ResourceKey | undefined)[] {
  const json = jsonOf(body);
  if (!v.is(Matched, json)) throw new Error("the answer is no list of resources");
  return json.resources.map(({ checksum, size_in_bytes }) => resourceKey(checksum.value, size_in_bytes));
}

/** @throws where the answer names what was not asked: then nothing it says can be relied on */
function matchedKeys(
  listed: readonly (ResourceKey | undefined)[],
  asked: ReadonlySet<ResourceKey>,
): Set<ResourceKey> {
  const keys = listed.filter((key) => key !== undefined && asked.has(key)) as ResourceKey[];
  if (keys.length < listed.length) throw new Error("the answer names a resource that was not asked for");
  return new Set(keys);
}

function relay({ status, headers }: Response, body: Uint8Array): Failure {
  const relayed = new Response(body, { status });
  for (const name of REFUSAL_HEADERS) {
    const value = headers.get(name);
    if (value !== null) relayed.headers.set(name, value);
  }
  return new Failure({ kind: "relayed", response: relayed });
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}
