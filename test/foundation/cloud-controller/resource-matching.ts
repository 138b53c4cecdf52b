import { Failure } from "../../../src/failure.ts";
import { decodeBody } from "../../../src/http/body.ts";
import { parseResources, type Resource } from "../../../src/resource-match/request.ts";
import { READABLE_AND_WRITABLE } from "../file-mode.ts";
import { ApiError } from "./api-error.ts";
import type { ResourcePool } from "./resource-pool.ts";

/** A resource of an answer; the Cloud Controller says null for what was not sent. */
export interface MatchedResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string | null;
  mode: string | null;
}

const KIB = 1024;
const MIB = KIB * KIB;
/** Bytes at which the next of the Cloud Controller's size classes begins. */
const SIZE_CLASSES = [KIB, 100 * KIB, MIB, 100 * MIB, KIB * MIB];

const sizeClassOf = (size: number) => SIZE_CLASSES.findLastIndex((minimum) => size >= minimum);

/**
 * The resources of a request's body.
 *
 * @throws ApiError in the Cloud Controller's words
 */
export function requestedResources(body: Uint8Array): Resource[] {
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (!(resources instanceof Failure)) return resources;
  if (resources.kind === "unprocessable") throw new ApiError("unprocessable", resources.reason);
  throw new ApiError("message-parse-error", "Request invalid due to parse error: invalid request body");
}

/**
 * Which of `resources` the pool has, by checksum alone, grouped by size class. The mode is compared as a
 * number, so that 100444 passes here and fails when it is uploaded; an absent one never matches.
 */
export function matchResources(pool: ResourcePool, resources: readonly Resource[]): MatchedResource[] {
  const allowed = resources.filter(
    ({ size_in_bytes: size, mode }) =>
      pool.matchesSize(size) && mode && Number.parseInt(mode, 8) >= READABLE_AND_WRITABLE,
  );
  const present = allowed.filter(({ checksum }) => pool.has(checksum.value));
  const groups = Map.groupBy(present, ({ size_in_bytes: size }) => sizeClassOf(size));
  // In the order in which each class is first met among all that was allowed.
  const order = new Set(allowed.map(({ size_in_bytes: size }) => sizeClassOf(size)));
  return [...order].flatMap((sizeClass) => groups.get(sizeClass) ?? []).map(echo);
}

/** A resource as it is answered. */
export function echo({ checksum, size_in_bytes, path, mode }: Resource): MatchedResource {
  return { checksum: { value: checksum.value }, size_in_bytes, path: path ?? null, mode: mode ?? null };
}
