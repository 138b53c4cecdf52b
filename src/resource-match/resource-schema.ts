import * as v from "valibot";
import { Failure } from "../failure.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { isSha1Hex } from "../resources/sha1.ts";

/** A file of an app as cf CLI describes it. The mode is octal digits. */
export type Resource = v.InferOutput<typeof ResourceSchema>;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a text has 40 characters as the Cloud Controller counts them: code points, not UTF-16 units. */
export const isSha1Length = (value: string) => isSha1Hex(value) || /^.{40}$/su.test(value);

/** Validates an absent member as null, so that the member's own schema reports it. */
export const required = <S extends v.GenericSchema>(schema: S) => v.optional(schema, null as never);

export const withA = (violation: string) => `array contains at least one resource with ${violation}`;

/** The order of the members is the order in which violations are reported. */
export const ResourceSchema = v.pipe(
  v.custom<Record<string, unknown>>(isObject, "array contains at least one non-object resource"),
  v.object({
    checksum: required(
      v.pipe(
        v.custom<Record<string, unknown>>(isObject, withA("a non-object checksum")),
        v.object({
          value: required(
            v.pipe(
              v.string(withA("a non-string checksum value")),
              v.check(isSha1Length, withA("a non-SHA1 checksum value")),
            ),
          ),
        }),
      ),
    ),
    size_in_bytes: required(
      v.pipe(
        v.custom<number>(Number.isInteger, withA("a non-integer size_in_bytes")),
        v.minValue(0, withA("a negative size_in_bytes")),
      ),
    ),
    mode: v.nullish(
      v.pipe(v.string(withA("a non-string mode")), v.regex(/^[0-7]+$/, withA("an incorrect mode"))),
    ),
    path: v.nullish(v.string(withA("a non-string path"))),
  }),
);

const ResourcesSchema = v.pipe(
  v.unknown(),
  v.check(Array.isArray, "must be an array"),
  v.check((resources) => lengthOf(resources) >= 1, "must have at least 1 resource"),
  v.check(
    (resources) => lengthOf(resources) <= RESOURCES_PER_REQUEST_MAX,
    `array can have at most ${RESOURCES_PER_REQUEST_MAX} resources`,
  ),
);

/** The length as the Cloud Controller computes it for a value of any type. */
function lengthOf(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (Array.isArray(value) || typeof value === "string") return value.length;
  return isObject(value) ? Object.keys(value).length : 1;
}

/**
 * Parses `{"resources":[…]}`. Resources whose checksum is not hex are left out, because no file has such a checksum.
 *
 * @param text JSON; an empty text is read as `{}`
 * @returns a failure if the text is not JSON or violates the schema; it lists each violation once
 */
export function parseResources(text: string): Resource[] | Failure {
  let json: unknown;
  try {
    json = text === "" ? {} : JSON.parse(text);
  } catch {
    return new Failure({ kind: "parse-error", reason: "the body is not JSON" });
  }
  const list = isObject(json) ? json.resources : undefined;
  // One more than allowed is validated, not all: a body has room for a million.
  const resources: Resource[] = Array.isArray(list) ? list.slice(0, RESOURCES_PER_REQUEST_MAX + 1) : [];
  const violations = new Set(violationsOf(ResourcesSchema, list));
  for (const resource of resources) {
    for (const violation of violationsOf(ResourceSchema, resource)) violations.add(violation);
  }
  if (violations.size > 0) return new Failure({ kind: "unprocessable", violations: [...violations] });
  return resources.filter(({ checksum }) => isSha1Hex(checksum.value));
}

function violationsOf(schema: v.GenericSchema, value: unknown): string[] {
  const { issues = [] } = v.safeParse(schema, value);
  return issues.map(({ message }) => `Resources ${message}`);
}
