import { PushFailed } from "./cf-connection.ts";

/** A resource as cf CLI keeps it. */
export interface CfResource {
  path: string;
  /** As Go has it. */
  mode: number;
  sha1: string;
  /** Bytes. */
  size: number;
}

const GO_UINT32_MAX = 0xffff_ffff;

/** For a request: the mode in octal digits without padding, no path where it is empty. */
export function encodeResource({ path, mode, sha1, size }: CfResource) {
  return {
    ...(path === "" ? {} : { path }),
    mode: mode.toString(8),
    checksum: { value: sha1 },
    size_in_bytes: size,
  };
}

/**
 * What an answer to `POST /v3/resource_matches` lists. cf CLI reads it into a map of lists of resources, and
 * takes no resource without a mode.
 *
 * @throws PushFailed
 */
export function decodeMatches(body: Buffer): CfResource[] {
  try {
    const answer = JSON.parse(body.toString());
    for (const member of Object.values(answer)) (member as unknown[] | null)?.forEach(decodeResource);
    return (answer.resources ?? []).map(decodeResource);
  } catch (error) {
    throw new PushFailed(`the answer can't be read: ${(error as Error).message}`);
  }
}

function decodeResource(resource: unknown): CfResource {
  const { path, mode, checksum, size_in_bytes: size } = resource as Record<string, unknown>;
  const { value } = (checksum ?? {}) as Record<string, unknown>;
  const octal = textOf(mode);
  if (!/^[0-7]+$/.test(octal) || Number.parseInt(octal, 8) > GO_UINT32_MAX) {
    throw new Error(`strconv.ParseUint: parsing "${octal}": invalid syntax`);
  }
  if (!Number.isSafeInteger(size ?? 0)) throw new Error(`size_in_bytes is ${size}`);
  return {
    path: textOf(path),
    mode: Number.parseInt(octal, 8),
    sha1: textOf(value),
    size: Number(size ?? 0),
  };
}

/** Go takes null for the empty value, and no other type for text. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw new Error(`${JSON.stringify(value)} is no text`);
}
