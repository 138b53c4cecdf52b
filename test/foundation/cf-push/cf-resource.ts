import { PushFailed } from "./cf-connection.ts";

/** A resource in cf CLI. */
export interface CfResource {
  path: string;
  /** In the format of Go. */
  mode: number;
  sha1: string;
  /** Bytes. */
  size: number;
}

const GO_UINT32_MAX = 0xffff_ffff;

/** Encodes a resource for a request. The mode is in octal digits without padding. An empty path is left out. */
export function encodeResource({ path, mode, sha1, size }: CfResource) {
  return {
    ...(path === "" ? {} : { path }),
    mode: mode.toString(8),
    checksum: { value: sha1 },
    size_in_bytes: size,
  };
}

/**
 * Decodes a response to `POST /v3/resource_matches`. Like cf CLI, it decodes the response as a map of lists of resources, and
 * rejects a resource without a mode.
 *
 * @throws PushFailed
 */
export function decodeMatches(body: Buffer): CfResource[] {
  try {
    const response = JSON.parse(body.toString());
    for (const member of Object.values(response)) (member as unknown[] | null)?.forEach(decodeResource);
    return (response.resources ?? []).map(decodeResource);
  } catch (error) {
    throw new PushFailed(`the response can't be decoded: ${(error as Error).message}`);
  }
}

function decodeResource(resource: unknown): CfResource {
  const { path, mode, checksum, size_in_bytes: size } = resource as Record<string, unknown>;
  const { value } = (checksum ?? {}) as Record<string, unknown>;
  const octal = decodeText(mode);
  if (!/^[0-7]+$/.test(octal) || Number.parseInt(octal, 8) > GO_UINT32_MAX) {
    throw new Error(`strconv.ParseUint: parsing "${octal}": invalid syntax`);
  }
  if (!Number.isSafeInteger(size ?? 0)) throw new Error(`size_in_bytes is ${size}`);
  return {
    path: decodeText(path),
    mode: Number.parseInt(octal, 8),
    sha1: decodeText(value),
    size: Number(size ?? 0),
  };
}

/** Like Go: decodes null as the empty string, and rejects every other type. */
function decodeText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw new Error(`${JSON.stringify(value)} is not a string`);
}
