import * as v from "valibot";
import { Failure } from "../failure.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { isSha1Hex } from "../resources/sha1.ts";

/** One file of an app as cf CLI describes it: its SHA-1 in hex, its size, where it lies and its octal mode. */
export type Resource = v.InferOutput<typeof ResourceSchema>;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** 40 characters as the Cloud Controller counts them: code points, not UTF-16 units. */
export const isSha1Length = (value: string) => isSha1Hex(value) || /^.{40}$/su.test(value);

/** Lets a member that is absent be judged, as null, by its own schema and in its own words. */
export const present = <S extends v.GenericSchema>(schema: S) => v.optional(schema, null as never);

export const withA = (violation: string) => `array contains at least one resource with ${violation}`;

/** The members stand in the order in which their violations are told. */
export const ResourceSchema = v.pipe(
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
 * The resources that a request asks about: of the JSON text `{"resources":[…]}` those whose checksum is hex, since
 * no other can name a file. An empty text is `{}`.
 *
 * @returns a failure for what is no JSON, and one that tells every violation once, in the order met
 */
export function parseResources(text: string): Resource[] | Failure {
  let json: unknown;
  try {
    json = text === "" ? {} : JSON.parse(text);
  } catch {
    return new Failure({ kind: "parse-error", reason: "the body is no JSON" });
  }
  const resources = isObject(json) ? json.resources : undefined;
  const violations = new Violations();
  violations.checkList(resources);
  // No more than one too many, for a body has room for millions.
  const checked = Array.isArray(resources) ? resources.slice(0, RESOURCES_PER_REQUEST_MAX + 1) : [];
  for (const resource of checked) violations.checkResource(resource);
  return violations.failure() ?? checked.filter(({ checksum }) => isSha1Hex(checksum.value));
}

/** What is wrong with a request: each violation once, those of the list first, then those of its resources in their order. */
export class Violations {
  readonly #ofList = new Set<string>();
  readonly #ofResources = new Set<string>();

  /** @param resources what is to be an array of them; of an array, how many it has is all that counts */
  checkList(resources: unknown): void {
    keepsTo(ResourcesSchema, resources, this.#ofList);
  }

  /** One by one, so that thousands of wrong resources leave no more behind than their distinct violations. */
  checkResource(resource: unknown): resource is Resource {
    return isTypical(resource) || keepsTo(ResourceSchema, resource, this.#ofResources);
  }

  failure(): Failure | undefined {
    const violations = [...this.#ofList, ...this.#ofResources];
    return violations.length === 0 ? undefined : new Failure({ kind: "unprocessable", violations });
  }
}

/** Whether a value is as the schema has it; else its violations are added. */
function keepsTo(schema: v.GenericSchema, value: unknown, violations: Set<string>): boolean {
  const { issues = [] } = v.safeParse(schema, value);
  for (const { message } of issues) violations.add(`Resources ${message}`);
  return issues.length === 0;
}

/**
 * Whether a resource is of the kind that cf CLI sends, which satisfies the schema; others may as well. It takes a
 * tenth of the schema's time, for nearly all that is ever sent.
 */
function isTypical(resource: unknown): boolean {
  if (typeof resource !== "object" || resource === null) return false;
  const { checksum, size_in_bytes: size, mode, path } = resource as Partial<Resource>;
  return (
    typeof checksum === "object" &&
    checksum !== null &&
    typeof checksum.value === "string" &&
    isSha1Hex(checksum.value) &&
    Number.isInteger(size) &&
    (size as number) >= 0 &&
    (mode === undefined || (typeof mode === "string" && isOctal(mode))) &&
    (path === undefined || typeof path === "string")
  );
}

function isOctal(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 7) return false;
  }
  return text !== "";
}

/** What JSON.parse may have rounded is larger than any size that can match. */
const ROUNDED = 2 ** 53;

/** The resources as JSON text of the usual form; null and absent are one. */
export function canonicalText(resources: readonly Resource[]): string {
  const texts = resources.map((resource) => {
    const path = typeof resource.path === "string" ? `"path":${JSON.stringify(resource.path)},` : "";
    return `{${path}${membersBesidePath(resource)}}`;
  });
  return `{"resources":[${texts.join(",")}]}`;
}

export function membersBesidePath({ checksum, size_in_bytes, mode }: Omit<Resource, "path">): string {
  const modeText = typeof mode === "string" ? `,"mode":"${mode}"` : "";
  return `"checksum":{"value":"${checksum.value}"},"size_in_bytes":${Math.min(size_in_bytes, ROUNDED)}${modeText}`;
}

/** The length as the Cloud Controller takes it, of whatever was sent. */
function lengthOf(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (Array.isArray(value) || typeof value === "string") return value.length;
  return isObject(value) ? Object.keys(value).length : 1;
}
