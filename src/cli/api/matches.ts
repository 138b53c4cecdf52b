import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import type { Endpoint } from "./endpoint.ts";
import { retried } from "./retry.ts";
import { type ApiRequest, type ApiResponse, errorMessageOf, jsonOf, NoResponse, send } from "./send.ts";

const MATCHED = 201;

/** A resource as `POST /v3/resource_matches` takes it. */
export interface ApiResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  /** Octal, without a leading zero. */
  mode: string;
}

/**
 * Asks a running endpoint, once.
 *
 * @returns the checksums that it matches
 * @throws Exit that tells what went wrong
 */
export async function matchedChecksums(
  endpoint: Endpoint,
  resources: readonly ApiResource[],
): Promise<string[]> {
  return checksumsOf(await askOnce(endpoint, resources));
}

/** As `matchedChecksums`, of resources that are told apart by their paths alone. */
export async function matchedPaths(
  endpoint: Endpoint,
  resources: readonly ApiResource[],
): Promise<Set<unknown>> {
  const answer = await askOnce(endpoint, resources);
  return new Set(resourcesOf(answer).map((resource) => resource?.path));
}

async function askOnce(endpoint: Endpoint, resources: readonly ApiResource[]): Promise<ApiResponse> {
  const answer = await send(endpoint, questionOf(resources)).catch((error) => {
    throw error instanceof NoResponse ? new Exit("failed", reasonOf(error)) : error;
  });
  if (answer.status !== MATCHED) throw new Exit("failed", errorMessageOf(answer));
  return answer;
}

/**
 * Asks the Cloud Controller itself, again where that may help.
 *
 * @param signal no attempt is begun after it is aborted
 * @returns the checksums that it matches
 * @throws Exit that tells what went wrong
 */
export async function checksumsInPool(
  cloudController: Endpoint,
  resources: readonly CachedResource[],
  signal: AbortSignal,
): Promise<string[]> {
  const question = questionOf(resources.map((resource) => ({ ...resource, mode: ANY_MODE })));
  return checksumsOf(await retried(() => send(cloudController, question), MATCHED, signal));
}

function questionOf(resources: readonly object[]): ApiRequest {
  const body = new TextEncoder().encode(JSON.stringify({ resources }));
  return { method: "POST", path: "/v3/resource_matches", body };
}

/** @throws Exit for what is no answer of the endpoint's */
export function checksumsOf(answer: ApiResponse): string[] {
  return resourcesOf(answer).map(({ checksum }) => checksum.value);
}

function resourcesOf(answer: ApiResponse): ApiResource[] {
  const { resources } = (jsonOf(answer) ?? {}) as { resources?: unknown };
  const isList =
    Array.isArray(resources) && resources.every((resource) => typeof resource?.checksum?.value === "string");
  if (!isList)
    throw new Exit("failed", `${answer.target} answered ${MATCHED}, but not with a list of resources.`);
  return resources;
}
