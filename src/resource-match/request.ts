import * as v from "valibot";
import { Failure } from "../failure.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";

/** One file of an app as cf CLI describes it: its SHA-1 in hex, its size, where it lies and its octal mode. */
export type Resource = v.InferOutput<typeof ResourceSchema>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** 40 characters as the Cloud Controller counts them: code points, not UTF-16 units. */
const isSha1Length = (value: string) => /^[0-9a-f]{40}$/i.test(value) || /^.{40}$/su.test(value);

/** Lets a member that is absent be judged, as null, by its own schema and in its own words. */
const present = <S extends v.GenericSchema>(schema: S) => v.optional(schema, null as never);

const withA = (violation: string) => `array contains at least one resource with ${violation}`;

/** The members stand in the order in which their violations are told. */
const ResourceSchema = v.pipe(
  v.custom<Record<string, unknown>>(isObject, "array contains at least one non-object resource"),
  v.object({
    checksum: present(
      v.pipe(
        v.custom<Record<string, unknown>>(isObject, withA("a non-object checksum")),
        v.object({
          value: present(
            v.pipe(
              v.string(withA("a non-string checksum value")),
              v.check(isSha1Length, withA("a non-SHA1 checksum value")),
            ),
          ),
        }),
      ),
    ),
    size_in_bytes: present(
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

/**
 * The resources of a request's body, the JSON text `{"resources":[…]}` in UTF-8; an empty body is `{}`.
 *
 * @returns a failure for what is no JSON, and one that tells every violation once, in the order met
 */
export function parseResources(body: Uint8Array): Resource[] | Failure {
  let json: unknown;
  try {
    // A path with other bytes than were sent would match no file of the client's: no byte may be replaced.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    json = text === "" ? {} : JSON.parse(text);
  } catch {
    return new Failure("parse-error", "the body is no JSON in UTF-8");
  }
  const resources = isObject(json) ? json.resources : undefined;

  const violations = new Set<string>();
  const examine = (schema: v.GenericSchema, value: unknown) => {
    for (const { message } of v.safeParse(schema, value).issues ?? []) violations.add(`Resources ${message}`);
  };
  examine(ResourcesSchema, resources);
  // One by one, so that thousands of wrong resources leave no more behind than their distinct violations.
  if (Array.isArray(resources)) for (const resource of resources) examine(ResourceSchema, resource);

  return violations.size === 0
    ? (resources as Resource[])
    : new Failure("unprocessable", [...violations].join(", "));
}

/** The length as the Cloud Controller takes it, of whatever was sent. */
function lengthOf(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (Array.isArray(value) || typeof value === "string") return value.length;
  return isObject(value) ? Object.keys(value).length : 1;
}
