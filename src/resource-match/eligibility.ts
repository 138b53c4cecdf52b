import type { Resource } from "./request.ts";

/** What the operator lets the pool hold. */
export interface EligibilityRules {
  /** Bytes, included. */
  minimumSize: number;
  /** Bytes, included. */
  maximumSize: number;
  /** Bits that every mode of a checksum must have; undefined where modes don't matter. */
  minimumFileMode: number | undefined;
}

/** As the Cloud Controller takes a file without mode: readable by all, run by its owner. */
const DEFAULT_MODE = 0o744;
/** The digits of a mode that are permissions; those before them tell the kind of file. */
const PERMISSION_DIGITS = 4;

/** Those of `resources` whose size the pool may hold; no other ever matches. */
export function ofEligibleSize(
  resources: readonly Resource[],
  { minimumSize, maximumSize }: EligibilityRules,
): Resource[] {
  return resources.filter(({ size_in_bytes: size }) => size >= minimumSize && size <= maximumSize);
}

/** Says of each of `resources` whether it may match with the modes that they have. */
export function ofEligibleMode(
  resources: readonly Resource[],
  { minimumFileMode }: EligibilityRules,
): (resource: Resource) => boolean {
  if (minimumFileMode === undefined) return () => true;
  // cf CLI leaves out every file of a matched checksum and uploads none of them: one file that the platform
  // can't make from the pool rules out all that share its content.
  const ruledOut = new Set<string>();
  for (const { checksum, mode } of resources) {
    if (!hasBits(mode, minimumFileMode)) ruledOut.add(checksum.value.toLowerCase());
  }
  return ({ checksum }) => !ruledOut.has(checksum.value.toLowerCase());
}

/** The resource with every bit that a mode must have; the same one where it has them all. */
export function withMinimumMode(resource: Resource, { minimumFileMode }: EligibilityRules): Resource {
  const { mode } = resource;
  if (minimumFileMode === undefined || !mode || hasBits(mode, minimumFileMode)) return resource;
  const kind = mode.slice(0, -PERMISSION_DIGITS);
  const digits = (permissions(mode) | minimumFileMode).toString(8);
  return { ...resource, mode: kind + digits.padStart(Math.min(mode.length, PERMISSION_DIGITS), "0") };
}

function hasBits(mode: string | null | undefined, bits: number): boolean {
  return (permissions(mode) & bits) === bits;
}

function permissions(mode: string | null | undefined): number {
  return mode ? Number.parseInt(mode.slice(-PERMISSION_DIGITS), 8) : DEFAULT_MODE;
}
