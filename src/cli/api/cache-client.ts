import type { CacheStatus, ObservationsResult, ResourcePage } from "../../operator-api/responses.ts";
import { parseResourceKey, type ResourceKey } from "../../resources/resource-key.ts";
import { Exit } from "../terminal/exit.ts";
import type { Endpoint } from "./endpoint.ts";
import { retried } from "./retry.ts";
import { type ApiRequest, jsonOf, send } from "./send.ts";
import { WorkerClock } from "./worker-clock.ts";

/** What was observed of the pool. */
export interface PoolObservations {
  /** Before the pool was asked, by the Worker's clock; ms since the epoch. */
  observedAt: number;
  present?: readonly ResourceKey[];
  /** SHA-1s in hex. */
  removed?: readonly string[];
}

/** The operator's API of a running Worker. Each call is tried again where that may help, and throws Exit. */
export class CacheClient {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;

  /** @param signal aborted when nothing new may be begun */
  constructor(endpoint: Endpoint, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
  }

  status(): Promise<CacheStatus> {
    return this.#call({ method: "GET", path: "" }, 200);
  }

  async clock(): Promise<WorkerClock> {
    return new WorkerClock((await this.status()).time);
  }

  /** What the cache holds, page by page. @param after the SHA-1 to begin after */
  async *resources(after?: string): AsyncGenerator<ResourcePage["resources"]> {
    let next = after;
    do {
      const path = next === undefined ? "/resources" : `/resources?after=${next}`;
      const page: ResourcePage = await this.#call({ method: "GET", path }, 200);
      yield page.resources;
      next = page.after;
    } while (next !== undefined);
  }

  /** @param observations of at most 50,000 resources */
  observe({ observedAt: seen, present = [], removed = [] }: PoolObservations): Promise<ObservationsResult> {
    // A SHA-1 and a size need no escaping, and JSON.stringify takes six times as long for the objects.
    const body = new TextEncoder().encode(
      `{"observed_at":${JSON.stringify(new Date(seen).toISOString())},` +
        `"present":[${present.map(presentJson).join()}],"removed":[${removed.map(removedJson).join()}]}`,
    );
    return this.#call({ method: "POST", path: "/observations", body }, 200);
  }

  publish(): Promise<CacheStatus> {
    return this.#call({ method: "POST", path: "/publication" }, 202);
  }

  async forget(): Promise<void> {
    await this.#call({ method: "DELETE", path: "" }, 204);
  }

  async #call<T>(question: ApiRequest, expected: number): Promise<T> {
    const path = `/v3/resource_matches/cache${question.path}`;
    const answer = await retried(() => send(this.#endpoint, { ...question, path }), expected, this.#signal);
    const json = jsonOf(answer);
    if (expected !== 204 && (typeof json !== "object" || json === null)) {
      throw new Exit("failed", `${answer.target} answered ${expected}, but not as a resource cache does.`);
    }
    return json as T;
  }
}

function presentJson(key: ResourceKey): string {
  const { sha1, size } = parseResourceKey(key);
  return `{"checksum":{"value":"${sha1}"},"size_in_bytes":${size}}`;
}

function removedJson(sha1: string): string {
  return `{"checksum":{"value":"${sha1}"}}`;
}
