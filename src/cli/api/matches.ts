import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import { Exit } from "../terminal/exit.ts";
import { describeError } from "./describe-error.ts";
import type { Endpoint } from "./endpoint.ts";
import { retry } from "./retry.ts";
import { type ApiResponse, jsonOf, send } from "./send.ts";

/** A resource in a request to `POST /v3/resource_matches`. */
interface RequestedResource extends CachedResource {
  path?: string;
  /** Octal, without a leading zero; by default a mode that always matches. */
  mode?: string | undefined;
}

/**
 * Requests matches from an endpoint: once, or with retries if there is a signal.
 *
 * @param signal stops further attempts
 * @returns the checksums of the matches
 * @throws NoResponse or Exit
 */
export async function requestMatches(
  endpoint: Endpoint,
  requested: readonly RequestedResource[],
  signal?: AbortSignal,
): Promise<Set<string>> {
  const resources = requested.map((resource) => ({ ...resource, mode: resource.mode ?? ANY_MODE }));
  const body = JSON.stringify({ resources });
  const attempt = () => send(endpoint, { method: "POST", path: "/v3/resource_matches", body });
  const response = signal ? await retry(attempt, ({ status }) => status === 201, signal) : await attempt();
  if (response.status !== 201) throw new Exit("failed", describeError(response));
  return checksumsOf(response);
}

/** @throws Exit if the response is not a list of resources */
export function checksumsOf(response: ApiResponse): Set<string> {
  const { resources } = (jsonOf(response) ?? {}) as { resources?: unknown };
  const isList =
    Array.isArray(resources) && resources.every((resource) => typeof resource?.checksum?.value === "string");
  if (!isList) throw new Exit("failed", describeError(response));
  return new Set(resources.map(({ checksum }) => checksum.value));
}
