import { posix } from "node:path";
import { READABLE_AND_WRITABLE } from "../file-mode.ts";
import { ApiError } from "./api-error.ts";

/** A file of a package that comes from the pool instead of the upload. */
export interface Fingerprint {
  path: string | null;
  sha1: string;
  /** Octal digits. */
  mode: string | null;
}

/** A valid fingerprint and its place in the package. */
export interface PlacedFingerprint {
  /** Relative to the package, normalised. */
  path: string;
  sha1: string;
  mode: number;
}

const DEFAULT_MODE = 0o744;

/**
 * Parses the field `resources` of an upload: a JSON array in the format of v3 or v2. The values of its entries are validated
 * later, by the job that makes the package.
 *
 * @throws ApiError
 */
export function parseFingerprints(json: string): Fingerprint[] {
  try {
    return (JSON.parse(json) as Record<string, unknown>[]).map((resource) => {
      if ("checksum" in resource && "size_in_bytes" in resource) {
        const { value } = resource.checksum as { value: unknown };
        return toFingerprint(value, resource.path, resource.mode);
      }
      return toFingerprint(resource.sha1, resource.fn, resource.mode);
    });
  } catch {
    throw new ApiError("unprocessable", "Resources must be valid JSON.");
  }
}

/**
 * Validates the path and the mode.
 *
 * @throws Error with the Cloud Controller's message, which becomes the error of the package
 */
export function placeFingerprint({ path, sha1, mode: rawMode }: Fingerprint): PlacedFingerprint {
  if (path === null) throw new Error("no implicit conversion of nil into String");
  const resolved = posix.resolve("/package", path);
  if (!`${resolved}/`.startsWith("/package/")) {
    throw new Error(`The resource file path is invalid: File path '${path}' is not safe.`);
  }
  const mode = rawMode === null ? DEFAULT_MODE : Number.parseInt(rawMode, 8) || 0;
  if ((mode & READABLE_AND_WRITABLE) !== READABLE_AND_WRITABLE) {
    throw new Error(
      `The resource file mode is invalid: File mode '${rawMode}' with path '${path}' is invalid. ` +
        "Minimum file mode is '0600'",
    );
  }
  return { path: posix.relative("/package", resolved), sha1, mode };
}

function toFingerprint(sha1: unknown, path: unknown, mode: unknown): Fingerprint {
  return { sha1: String(sha1 ?? ""), path: textOrNull(path), mode: textOrNull(mode) };
}

function textOrNull(value: unknown): string | null {
  return value === undefined || value === null ? null : String(value);
}
