import * as v from "valibot";
import { MANIFEST_TRUSTED_MS } from "../time/time-guarantees.ts";

/** The manifest names the current snapshot and delta. The catalog writes it last. */
export const MANIFEST_NAME = "manifest";

/** Of the manifest and of packed values. */
export const FORMAT_VERSION = 3;

/** A larger pool has no snapshot, only keys. These take 48 MB of an isolate's 128. */
export const SNAPSHOT_ENTRIES_MAX = 6_000_000;

/**
 * A snapshot with fewer entries has all resources of the pool. That of a larger pool has at least so many, even if
 * resources are removed while it is built.
 */
export const INCOMPLETE_ENTRIES_MIN = 5_900_000;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Id = v.pipe(v.string(), v.regex(/^[0-9a-z-]{1,30}$/));
const Time = v.pipe(v.string(), v.isoTimestamp());

const ManifestSchema = v.variant("state", [
  v.object({
    version: v.literal(FORMAT_VERSION),
    state: v.literal("current"),
    /** Counts the manifests that the catalog has written. */
    revision: Count,
    /** ISO 8601. */
    publishedAt: Time,
    /** Of the entry hashes in snapshot and delta: 16 bytes in hex. */
    secret: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    snapshot: v.nullable(
      v.object({
        id: Id,
        entries: v.pipe(Count, v.maxValue(SNAPSHOT_ENTRIES_MAX)),
        parts: v.pipe(Count, v.maxValue(100)),
        /** It has the entries of this time. */
        builtAt: Time,
        /** When its last part was written. */
        completedAt: Time,
      }),
    ),
    /** Whether keys may be matched too. */
    areKeysTrusted: v.boolean(),
    /** ISO 8601: until then the cache matches nothing. */
    suspendedUntil: v.nullable(Time),
    /** Null if nothing has changed since the snapshot. */
    delta: v.nullable(
      v.object({
        id: Id,
        added: Count,
        removed: Count,
        /** The packed value in base64url. Null if it is stored as an object of its own, because it is large. */
        packed: v.nullable(v.string()),
      }),
    ),
  }),
  /** The foundation uses another KEY_PREFIX now. */
  v.object({ version: v.literal(FORMAT_VERSION), state: v.literal("retired"), publishedAt: Time }),
]);

export type Manifest = v.InferOutput<typeof ManifestSchema>;
export type CurrentManifest = Extract<Manifest, { state: "current" }>;

/** @throws if the manifest is not valid or of an unknown version */
export function parseManifest(json: string): Manifest {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), ManifestSchema), json);
  if (!result.success) throw new Error(`the manifest is invalid: ${result.issues[0].message}`);
  return result.output;
}

/** Whether snapshot, delta and keys may be matched. */
export function isTrusted(manifest: Manifest, now: number): manifest is CurrentManifest {
  return manifest.state === "current" && now - Date.parse(manifest.publishedAt) < MANIFEST_TRUSTED_MS;
}

/** Whether the catalog has suspended the cache: only the Cloud Controller matches. */
export function isSuspended({ suspendedUntil }: CurrentManifest, now: number): boolean {
  return suspendedUntil !== null && now < Date.parse(suspendedUntil);
}

/** @param part from 0 */
export function partName(snapshotId: string, part: number): string {
  return `snapshot/${snapshotId}/${part}`;
}

export function deltaName(id: string): string {
  return `delta/${id}`;
}
