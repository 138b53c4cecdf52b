import * as v from "valibot";
import type { Fault } from "../cache/lookup-result.ts";
import { chunks } from "../chunks.ts";
import { Failure } from "../failure.ts";
import { readBody } from "../http/body.ts";
import { WORKER_HEADERS } from "../http/worker-headers.ts";
import { causeOf } from "../observability/log.ts";
import { ANY_MODE, BODY_MAX_BYTES, ORIGIN_RESOURCES_PER_REQUEST } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { type ResourceKey, resourceKey, sha1Of, sizeOf } from "../resources/resource-key.ts";
import type { Deadline } from "../time/deadline.ts";
import { originPausesOf } from "./origin-pause.ts";

/** Result of a look-up in the Cloud Controller. Keys in neither list have no result. */
export interface OriginResult {
  matched: readonly ResourceKey[];
  /** Requested, but not in the response. */
  notMatched: readonly ResourceKey[];
}

interface OriginLookup extends OriginResult {
  faults: Fault[];
  /** `relayed`, if the Cloud Controller refuses the caller. */
  refusal: Failure | undefined;
}

/** Who sends a request to the Cloud Controller. */
export interface OriginCaller {
  /** GUID of the user, or id of the client. */
  id: string;
  /** The Authorization header. */
  authorization: string;
}

interface LookupOptions {
  resourcesPerRequest?: number;
  /** Called with the result of each request that has one. */
  onResult?: (result: OriginResult) => void;
}

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
  readonly #callerId: string;
  readonly #context: RequestContext;

  /** @param url CLOUD_CONTROLLER_URL, without a slash at its end */
  constructor(url: string, { id, authorization }: OriginCaller, context: RequestContext) {
    this.#url = `${url}/v3/resource_matches`;
    this.#headers = {
      ...WORKER_HEADERS,
      Authorization: authorization,
      "Content-Type": "application/json",
      "X-Vcap-Request-Id": context.requestId,
      ...context.traceHeaders,
    };
    this.#callerId = id;
    this.#context = context;
  }

  /**
   * Requests which of `keys` are in the pool, by several concurrent requests. Never throws: keys that have no result by the deadline
   * are a fault, and so are those that are not requested because the Cloud Controller requires a pause.
   *
   * @param keys distinct
   */
  async requestMatches(
    keys: readonly ResourceKey[],
    deadline: Deadline,
    { resourcesPerRequest = ORIGIN_RESOURCES_PER_REQUEST, onResult }: LookupOptions = {},
  ): Promise<OriginLookup> {
    const waiting = chunks(keys, resourcesPerRequest);
    const matched: ResourceKey[] = [];
    const notMatched: ResourceKey[] = [];
    const causes = new Set<string>();
    let unread = 0;
    let refusal: Failure | undefined;
    const requestInTurn = async () => {
      for (let chunk = waiting.shift(); chunk; chunk = waiting.shift()) {
        try {
          const result = await deadline.race(this.#request(chunk, deadline));
          if (result instanceof Failure) {
            refusal ??= result;
            waiting.length = 0;
            continue;
          }
          matched.push(...result.matched);
          notMatched.push(...result.notMatched);
          onResult?.(result);
        } catch (error) {
          unread += chunk.length;
          causes.add(causeOf(error));
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, requestInTurn));
    const fault = { warning: WARNING, details: { tier: "origin", unread, causes: [...causes] } };
    return { matched, notMatched, faults: unread > 0 ? [fault] : [], refusal };
  }

  /** @returns `relayed` if the Cloud Controller refuses the caller */
  async #request(keys: readonly ResourceKey[], deadline: Deadline): Promise<OriginResult | Failure> {
    const pauses = originPausesOf(this.#context.configuration);
    const pause = pauses.of(this.#callerId);
    if (pause) {
      throw new Error(
        `no requests until ${new Date(pause.until).toISOString()}, after status ${pause.status}`,
      );
    }
    const response = await fetch(this.#url, {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify({ resources: keys.map(toResource) }),
      redirect: "manual",
      cache: "no-store",
      signal: deadline.signal,
    });
    const started = pauses.startIfRequired(response, this.#callerId);
    if (started) {
      const { status, until, isForAll } = started;
      const fields = { status, until: new Date(until).toISOString(), callers: isForAll ? "all" : "one" };
      this.#context.log.warn("cloud-controller-paused", fields);
    }
    // A response echoes resources of its request, so that it is smaller than a body may be.
    const body = await readBody(response.body, BODY_MAX_BYTES);
    if (body instanceof Failure) throw new Error(`status ${response.status}, ${body.reason}`);

    // Without an error envelope, such a status comes from a proxy and not from the Cloud Controller.
    if (REFUSALS.includes(response.status) && v.is(ErrorEnvelope, parseJson(body))) {
      return relay(response, body);
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
    return { matched: keys.filter((key) => matched.has(key)), notMatched };
  }
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
