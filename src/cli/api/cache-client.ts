import type { CacheStatus, ObservationsResult, ResourcePage } from "../../operator-api/responses.ts";
import { parseResourceKey, type ResourceKey } from "../../resources/resource-key.ts";
import { Exit } from "../terminal/exit.ts";
import { describeError } from "./describe-error.ts";
import type { Endpoint } from "./endpoint.ts";
import { retry } from "./retry.ts";
import { type ApiRequest, type ApiResponse, jsonOf, send } from "./send.ts";

/** Path of the operator API. Only the Worker has it. */
const CACHE_PATH = "/v3/resource_matches/cache";

export interface PoolObservations {
  /** A time before the pool was read, by the Worker's clock; ms since the epoch. */
  observedAt: number;
  present?: readonly ResourceKey[];
  /** SHA-1s in hex. */
  removed?: readonly string[];
}

/** Client of the operator API of a running Worker. Each call is retried if that may help, and throws Exit. */
export class CacheClient {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;

  /** @param signal stops further attempts */
  constructor(endpoint: Endpoint, signal = new AbortController().signal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
  }

  status(): Promise<CacheStatus> {
    return this.#call({ method: "GET", path: "" }, 200, isStatus);
  }

  /** Yields the resources in the cache, page by page. @param after skips the SHA-1s up to this one */
  async *resources(after?: string): AsyncGenerator<ResourcePage["resources"]> {
    let next = after;
    do {
      const path = next === undefined ? "/resources" : `/resources?after=${next}`;
      const page = await this.#call({ method: "GET", path }, 200, isResourcePage);
      yield page.resources;
      next = page.after;
    } while (next !== undefined);
  }

  /** @param observations of at most 50,000 resources */
  report({ observedAt, present = [], removed = [] }: PoolObservations): Promise<ObservationsResult> {
    const body = JSON.stringify({
      observed_at: new Date(observedAt).toISOString(),
      present: present.map((key) => {
        const { sha1, size } = parseResourceKey(key);
        return { checksum: { value: sha1 }, size_in_bytes: size };
      }),
      removed: removed.map((sha1) => ({ checksum: { value: sha1 } })),
    });
    return this.#call({ method: "POST", path: "/observations", body }, 200, isObservationsResult);
  }

  publish(): Promise<CacheStatus> {
    return this.#call({ method: "POST", path: "/publication" }, 202, isStatus);
  }

  async forget(): Promise<void> {
    await this.#call({ method: "DELETE", path: "" }, 204, isNothing);
  }

  /** @param isExpected whether the JSON of a response with the expected status is that of a Worker */
  async #call<T>(
    request: ApiRequest,
    expectedStatus: number,
    isExpected: (json: unknown) => json is T,
  ): Promise<T> {
    const path = `${CACHE_PATH}${request.path}`;
    const response = await retry(
      () => send(this.#endpoint, { ...request, path }),
      ({ status }) => status === expectedStatus,
      this.#signal,
    );
    const json = jsonOf(response);
    if (!isExpected(json)) throw new Exit("failed", describeError(response));
    return json;
  }
}

function isNothing(json: unknown): json is undefined {
  return json === undefined;
}

function isStatus(json: unknown): json is CacheStatus {
  return typeof (json as Partial<CacheStatus> | undefined | null)?.entries === "number";
}

function isResourcePage(json: unknown): json is ResourcePage {
  return Array.isArray((json as Partial<ResourcePage> | undefined | null)?.resources);
}

function isObservationsResult(json: unknown): json is ObservationsResult {
  return typeof (json as Partial<ObservationsResult> | undefined | null)?.changed === "number";
}

/** Requests the status of the Worker, once. */
export function requestCacheStatus(endpoint: Endpoint): Promise<ApiResponse> {
  return send(endpoint, { method: "GET", path: CACHE_PATH });
}

/**
 * When the command started, by the Worker's clock, for the times of observations. Adding `performance.now()` gives the
 * current time. Both are late by the time that the response took to arrive, and never early: an observation never seems
 * newer than it is.
 *
 * @param status must have just arrived
 * @returns ms since the epoch
 */
export function startTimeOf({ time }: CacheStatus): number {
  const now = Date.parse(time);
  if (Number.isNaN(now)) {
    throw new Exit(
      "failed",
      "The Worker's status has no time: the Worker has another version than this command. Deploy the version of this command.",
    );
  }
  return now - performance.now();
}
