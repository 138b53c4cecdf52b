import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import { RESPONSE_MS } from "../network/exchange.ts";
import { Exit } from "../terminal/exit.ts";
import { describeError } from "./describe-error.ts";
import type { Endpoint } from "./endpoint.ts";
import { retry } from "./retry.ts";
import { type ApiResponse, jsonOf, send } from "./send.ts";

/** A Cloud Controller with a slow blobstore looks up this long for each resource. */
const LOOKUP_MS = 20;

/** A resource in a request to `POST /v3/resource_matches`. */
interface RequestedResource extends CachedResource {
  path?: string;
  /** Octal, without a leading zero; by default a mode that always matches. */
  mode?: string | undefined;
}

/** A resource of a response, and of an upload. Other members are kept. */
export interface MatchedResource {
  checksum: { value: string };
  path?: unknown;
  mode?: unknown;
}

/**
 * Requests matches from an endpoint: once, or with retries if there is a signal.
 *
 * @param signal stops further attempts
 * @returns the resources of the response as they are
 * @throws NoResponse or Exit
 */
export async function requestMatches(
  endpoint: Endpoint,
  requested: readonly RequestedResource[],
  signal?: AbortSignal,
): Promise<MatchedResource[]> {
  const resources = requested.map((resource) => ({ ...resource, mode: resource.mode ?? ANY_MODE }));
  const body = JSON.stringify({ resources });
  const responseMs = RESPONSE_MS + resources.length * LOOKUP_MS;
  const attempt = () => send(endpoint, { method: "POST", path: "/v3/resource_matches", body, responseMs });
  const response = signal ? await retry(attempt, ({ status }) => status === 201, signal) : await attempt();
  if (response.status !== 201) throw new Exit("failed", describeError(response));
  return resourcesOf(response);
}

/** @throws Exit if the response is not a list of resources */
export function resourcesOf(response: ApiResponse): MatchedResource[] {
  const { resources } = (jsonOf(response) ?? {}) as { resources?: unknown };
  const isList =
    Array.isArray(resources) && resources.every((resource) => typeof resource?.checksum?.value === "string");
  if (!isList) throw new Exit("failed", describeError(response));
  return resources;
}

export function checksumsOf(resources: readonly Pick<MatchedResource, "checksum">[]): Set<string> {
  return new Set(resources.map(({ checksum }) => checksum.value));
}
