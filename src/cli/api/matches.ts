import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import type { Endpoint } from "./endpoint.ts";
import { retry } from "./retry.ts";
import {
  type ApiRequest,
  type ApiResponse,
  CACHE_PATH,
  describeError,
  jsonOf,
  NoResponse,
  send,
} from "./send.ts";

/** A resource of `POST /v3/resource_matches`. */
export interface ApiResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  /** Octal, without a leading zero. */
  mode: string;
}

/**
 * Requests matches from a running endpoint, once.
 *
 * @returns the checksums that it matches
 * @throws Exit
 */
export async function requestMatchedChecksums(
  endpoint: Endpoint,
  resources: readonly ApiResource[],
): Promise<string[]> {
  return checksumsOf(await requestMatches(endpoint, resources));
}

/** Like `requestMatchedChecksums`, but returns the paths of the matched resources. */
export async function requestMatchedPaths(
  endpoint: Endpoint,
  resources: readonly ApiResource[],
): Promise<Set<string>> {
  const response = await requestMatches(endpoint, resources);
  return new Set(resourcesOf(response).map(({ path }) => path));
}

async function requestMatches(endpoint: Endpoint, resources: readonly ApiResource[]): Promise<ApiResponse> {
  const response = await send(endpoint, matchRequest(resources)).catch((error) => {
    throw error instanceof NoResponse ? new Exit("failed", reasonOf(error)) : error;
  });
  if (response.status !== 201) throw new Exit("failed", describeError(response));
  return response;
}

/**
 * Requests matches from the Cloud Controller, with retries.
 *
 * @param signal stops further attempts
 * @returns the checksums that it matches
 * @throws Exit
 */
export async function requestChecksumsInPool(
  cloudController: Endpoint,
  resources: readonly CachedResource[],
  signal: AbortSignal,
): Promise<string[]> {
  const request = matchRequest(resources.map((resource) => ({ ...resource, mode: ANY_MODE })));
  const response = await retry(
    () => send(cloudController, request),
    ({ status }) => status === 201,
    signal,
  );
  return checksumsOf(response);
}

function matchRequest(resources: readonly object[]): ApiRequest {
  const body = new TextEncoder().encode(JSON.stringify({ resources }));
  return { method: "POST", path: "/v3/resource_matches", body };
}

/** @throws Exit if the response is not a list of resources */
export function checksumsOf(response: ApiResponse): string[] {
  return resourcesOf(response).map(({ checksum }) => checksum.value);
}

function resourcesOf(response: ApiResponse): ApiResource[] {
  const { resources } = (jsonOf(response) ?? {}) as { resources?: unknown };
  const isList =
    Array.isArray(resources) && resources.every((resource) => typeof resource?.checksum?.value === "string");
  if (!isList) {
    throw new Exit("failed", `${response.target} returned 201, but no list of resources.`);
  }
  return resources;
}

/** Requests the status of the Worker. */
export function requestCacheStatus(endpoint: Endpoint): Promise<ApiResponse> {
  return send(endpoint, { method: "GET", path: CACHE_PATH });
}

/**
 * Whether a response to `requestCacheStatus` shows that it comes from a Cloud Controller. Only the Worker has this path,
 * and a Cloud Controller returns 404 for a path that it does not have, with any method. Any other status can come
 * from a Worker or a proxy as well.
 */
export function isWorkerAbsent({ status }: ApiResponse): boolean {
  return status === 404;
}
