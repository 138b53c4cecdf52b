import * as v from "valibot";
import type { Fault } from "../cache/lookup-result.ts";
import { chunks } from "../chunks.ts";
import { Failure } from "../failure.ts";
import { readBody } from "../http/body.ts";
import { causeOf } from "../observability/log.ts";
import { ANY_MODE, ORIGIN_RESOURCES_PER_REQUEST, ORIGIN_RESPONSE_MAX_BYTES } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, resourceKey, sha1Of, sizeOf } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";

/** Result of a look-up in the Cloud Controller. Keys in neither list have no result. */
export interface OriginResult {
  matched: readonly ResourceKey[];
  /** Requested, but not in the response. */
  notMatched: readonly ResourceKey[];
}

interface OriginLookup extends OriginResult {
  faults: Fault[];
  /** `relayed`, if the Cloud Controller refuses the caller. */
  refusal?: Failure;
}

interface LookupOptions {
  resourcesPerRequest?: number;
  /** Called with the result of each request. */
  onResult?: (result: OriginResult) => void;
}

const ORIGIN = "origin";

/** Time of the Cloud Controller for one file. It looks up the files of a request one after the other. */
const MS_PER_FILE = 12;
const QUICK_RESOURCES_MIN = 40;
const CONCURRENT_REQUESTS = 4;

/** The number of resources per request with which `requests` requests end within `ms`. */
export function quickRequestSize(ms: number, requests: number): number {
  const size = Math.floor((ms * CONCURRENT_REQUESTS) / (requests * MS_PER_FILE));
  return Math.min(Math.max(size, QUICK_RESOURCES_MIN), ORIGIN_RESOURCES_PER_REQUEST);
}

/**
 * Statuses by which the Cloud Controller refuses the caller. A 422 is not one of them: the Worker composes the request, so the
 * caller is not to blame.
 */
const REFUSALS = [401, 403, 409];
const REFUSAL_HEADERS = ["Content-Type", "X-Cf-Warnings", "Retry-After", "WWW-Authenticate"];

const WARNING =
  "The Cloud Controller did not match resources: some files may be uploaded although the platform has them.";

const Matched = v.object({
  resources: v.array(v.object({ checksum: v.object({ value: v.string() }), size_in_bytes: v.number() })),
});
const ErrorEnvelope = v.object({ errors: v.pipe(v.array(v.unknown()), v.nonEmpty()) });

/** The Cloud Controller, as the last tier: slow, but it checks the pool itself. */
export class Origin {
  readonly #url: string;
  readonly #headers: Record<string, string>;

  /**
   * @param url CLOUD_CONTROLLER_URL, without a slash at its end
   * @param authorization the Authorization header of the caller
   */
  constructor(
    url: string,
    authorization: string,
    { requestId, traceHeaders }: Pick<RequestContext, "requestId" | "traceHeaders">,
  ) {
    this.#url = `${url}/v3/resource_matches`;
    this.#headers = {
      Authorization: authorization,
      "Content-Type": "application/json",
      "X-Vcap-Request-Id": requestId,
      ...traceHeaders,
    };
  }

  /**
   * Requests which of `keys` are in the pool, by several concurrent requests. Never throws: keys that have no result by the deadline
   * are a fault.
   *
   * @param keys distinct
   */
  async requestMatches(
    keys: readonly ResourceKey[],
    deadline: Deadline,
    { resourcesPerRequest = ORIGIN_RESOURCES_PER_REQUEST, onResult }: LookupOptions = {},
  ): Promise<OriginLookup> {
    const lookups: OriginLookup[] = [];
    const waiting = chunks(keys, resourcesPerRequest);
    const requestInTurn = async () => {
      for (let chunk = waiting.shift(); chunk; chunk = waiting.shift()) {
        const requested = chunk;
        const request = this.#request(requested, deadline);
        const lookup = await deadline.race(request).catch((error) => failedLookup(requested, error));
        lookups.push(lookup);
        onResult?.(lookup);
        if (lookup.refusal) waiting.length = 0;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, requestInTurn));
    return mergeLookups(lookups);
  }

  async #request(keys: readonly ResourceKey[], deadline: Deadline): Promise<OriginLookup> {
    const response = await fetch(this.#url, {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify({ resources: keys.map(toResource) }),
      redirect: "manual",
      cache: "no-store",
      signal: deadline.signal,
    });
    const body = await readBody(response.body, ORIGIN_RESPONSE_MAX_BYTES);
    if (body instanceof Failure) throw new Error(`status ${response.status}, ${body.reason}`);

    // Without an error envelope, such a status comes from a proxy and not from the Cloud Controller.
    if (REFUSALS.includes(response.status) && v.is(ErrorEnvelope, parseJson(body))) {
      return { matched: [], notMatched: [], faults: [], refusal: relay(response, body) };
    }
    if (response.status !== 201) throw new Error(`status ${response.status}`);
    const listed = parseMatches(body);
    if (!listed) throw new Error("the response is not a list of resources");
    const matched = new Set(listed);
    const notMatched = keys.filter((key) => !matched.has(key));
    // A response with anything else is wrong as a whole.
    if (matched.size > keys.length - notMatched.length) {
      throw new Error("the response has a resource that was not requested");
    }
    return { matched: keys.filter((key) => matched.has(key)), notMatched, faults: [] };
  }
}

function failedLookup(keys: readonly ResourceKey[], error: unknown): OriginLookup {
  const details = { tier: ORIGIN, unread: keys.length, causes: [causeOf(error)] };
  return { matched: [], notMatched: [], faults: [{ warning: WARNING, details }] };
}

/** One look-up with all results, and at most one fault. */
function mergeLookups(lookups: readonly OriginLookup[]): OriginLookup {
  const refusal = lookups.find((lookup) => lookup.refusal)?.refusal;
  const failed = lookups.flatMap(({ faults }) => faults.map(({ details }) => details));
  const unread = failed.reduce((sum, details) => sum + details.unread, 0);
  const causes = [...new Set(failed.flatMap((details) => details.causes))];
  return {
    matched: lookups.flatMap(({ matched }) => matched),
    notMatched: lookups.flatMap(({ notMatched }) => notMatched),
    faults: failed.length === 0 ? [] : [{ warning: WARNING, details: { tier: ORIGIN, unread, causes } }],
    ...(refusal ? { refusal } : {}),
  };
}

function toResource(key: ResourceKey) {
  return { checksum: { value: sha1Of(key) }, size_in_bytes: sizeOf(key), mode: ANY_MODE };
}

/**
 * The keys of the resources in a 201 of the Cloud Controller, one for each entry. An entry that has no valid key is undefined.
 *
 * @returns undefined if the body is not a list of resources
 */
export function parseMatches(body: Uint8Array): (ResourceKey | undefined)[] | undefined {
  const json = parseJson(body);
  if (!v.is(Matched, json)) return undefined;
  return json.resources.map(({ checksum, size_in_bytes }) => resourceKey(checksum.value, size_in_bytes));
}

function relay({ status, headers }: Response, body: Uint8Array): Failure {
  const response = new Response(body, { status });
  for (const name of REFUSAL_HEADERS) {
    const value = headers.get(name);
    if (value !== null) response.headers.set(name, value);
  }
  return new Failure({ kind: "relayed", response });
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}
