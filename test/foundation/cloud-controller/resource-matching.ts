import { Failure } from "../../../src/failure.ts";
import { decodeBody } from "../../../src/http/body.ts";
import { parseResources, type Resource } from "../../../src/resource-match/resource-schema.ts";
import { READABLE_AND_WRITABLE } from "../file-mode.ts";
import { ApiError } from "./api-error.ts";
import type { ResourcePool } from "./resource-pool.ts";

/** A resource of a response. A path or a mode that was not sent is null. */
export interface MatchedResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string | null;
  mode: string | null;
}

const KIB = 1024;
const MIB = KIB * KIB;
/** The smallest sizes, in bytes, of the Cloud Controller's size classes. */
const SIZE_CLASSES = [KIB, 100 * KIB, MIB, 100 * MIB, KIB * MIB];

const sizeClassOf = (size: number) => SIZE_CLASSES.findLastIndex((minimum) => size >= minimum);

/** A size like 36.0 or 1e3, which JSON.parse does not distinguish from 36 and 1000. In a string the quotes would be escaped. */
const FLOAT_SIZE = /"size_in_bytes"\s*:\s*-?\d+[.eE]/;
const NON_INTEGER_SIZE = "Resources array contains at least one resource with a non-integer size_in_bytes";

/**
 * Parses the body of a request. As in Ruby, a number with a point or an exponent is no integer.
 *
 * @throws ApiError with the Cloud Controller's message
 */
export function parseRequest(body: Uint8Array): Resource[] {
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (typeof text === "string" && FLOAT_SIZE.test(text) && !(resources instanceof Failure)) {
    throw new ApiError("unprocessable", NON_INTEGER_SIZE);
  }
  if (!(resources instanceof Failure)) return resources;
  if (resources.kind === "unprocessable") throw new ApiError("unprocessable", resources.reason);
  throw new ApiError("message-parse-error", "Request invalid due to parse error: invalid request body");
}

/**
 * Returns the resources whose checksum is in the pool, grouped by size class. As in the Cloud Controller, the size is not
 * compared with the blob, and the mode is compared as a number: 100444 matches here, and fails when the package is made. A
 * resource without a mode never matches.
 */
export function matchResources(pool: ResourcePool, resources: readonly Resource[]): MatchedResource[] {
  const allowed = resources.filter(
    ({ size_in_bytes: size, mode }) =>
      pool.matchesSize(size) && mode && Number.parseInt(mode, 8) >= READABLE_AND_WRITABLE,
  );
  const present = allowed.filter(({ checksum }) => pool.has(checksum.value));
  const groups = Map.groupBy(present, ({ size_in_bytes: size }) => sizeClassOf(size));
  // A class comes where its first allowed resource comes, even if that one is not present.
  const order = new Set(allowed.map(({ size_in_bytes: size }) => sizeClassOf(size)));
  return [...order].flatMap((sizeClass) => groups.get(sizeClass) ?? []).map(presentMatch);
}

/** Formats a resource for a response. */
export function presentMatch({ checksum, size_in_bytes, path, mode }: Resource): MatchedResource {
  return { checksum: { value: checksum.value }, size_in_bytes, path: path ?? null, mode: mode ?? null };
}
