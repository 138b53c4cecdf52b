import { Exit, reasonOf } from "../exit.ts";
import type { Endpoint } from "./endpoint.ts";
import { type Answer, complaintOf, jsonOf, NoAnswer, send } from "./send.ts";

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
  const body = new TextEncoder().encode(JSON.stringify({ resources }));
  const answer = await send(endpoint, {
    method: "POST",
    path: "/v3/resource_matches",
    body: () => [body],
  }).catch((error) => {
    throw error instanceof NoAnswer ? new Exit("failed", reasonOf(error)) : error;
  });
  if (answer.status !== 201) throw new Exit("failed", complaintOf(answer));
  const checksums = checksumsOf(answer);
  if (!checksums) {
    throw new Exit("failed", `${answer.target} answered 201, but not with a list of resources.`);
  }
  return checksums;
}

function checksumsOf(answer: Answer): string[] | undefined {
  const { resources } = (jsonOf(answer) ?? {}) as { resources?: unknown };
  if (!Array.isArray(resources)) return undefined;
  const checksums = resources.map((resource) => resource?.checksum?.value);
  return checksums.every((checksum) => typeof checksum === "string") ? checksums : undefined;
}
