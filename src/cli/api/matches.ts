import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import { Exit } from "../terminal/exit.ts";
import type { Endpoint } from "./endpoint.ts";
import { retry } from "./retry.ts";
import { type ApiRequest, type ApiResponse, describeError, jsonOf, send } from "./send.ts";

/** A resource of `POST /v3/resource_matches`. */
export interface ApiResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  /** Octal, without a leading zero. */
  mode: string;
}

/**
 * Requests matches from an endpoint, once.
 *
 * @returns the matched resources
 * @throws NoResponse or Exit
 */
export async function requestMatches(
  endpoint: Endpoint,
  resources: readonly ApiResource[],
): Promise<ApiResource[]> {
  const response = await send(endpoint, matchRequest(resources));
  if (response.status !== 201) throw new Exit("failed", describeError(response));
  return resourcesOf(response);
}

/**
 * Requests matches of resources of the cache from the Cloud Controller, with retries.
 *
 * @param signal stops further attempts
 * @returns the checksums that it matches
 * @throws Exit
 */
export async function requestPoolChecksums(
  cloudController: Endpoint,
  resources: readonly CachedResource[],
  signal: AbortSignal,
): Promise<Set<string>> {
  const request = matchRequest(resources.map((resource) => ({ ...resource, mode: ANY_MODE })));
  const response = await retry(
    () => send(cloudController, request),
    ({ status }) => status === 201,
    signal,
  );
  return new Set(resourcesOf(response).map(({ checksum }) => checksum.value));
}

function matchRequest(resources: readonly object[]): ApiRequest {
  return { method: "POST", path: "/v3/resource_matches", body: JSON.stringify({ resources }) };
}

/** @throws Exit if the response is not a list of resources */
export function resourcesOf(response: ApiResponse): ApiResource[] {
  const { resources } = (jsonOf(response) ?? {}) as { resources?: unknown };
  const isList =
    Array.isArray(resources) && resources.every((resource) => typeof resource?.checksum?.value === "string");
  if (!isList) throw new Exit("failed", `${response.target} returned 201, but no list of resources.`);
  return resources;
}
