import * as v from "valibot";
import { OBSERVATIONS_MAX, type Observations } from "../catalog/observations.ts";
import { Failure } from "../failure.ts";
import { required, withA } from "../resource-match/resource-schema.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import { isSha1Hex } from "../resources/sha1.ts";

const checksum = required(
  v.object(
    {
      value: required(
        v.pipe(
          v.string(withA("a non-string checksum value")),
          v.check(isSha1Hex, withA("a non-SHA1 checksum value")),
          v.toLowerCase(),
        ),
      ),
    },
    withA("a non-object checksum"),
  ),
);

const size_in_bytes = required(
  v.pipe(
    v.custom<number>(Number.isSafeInteger, withA("a non-integer size_in_bytes")),
    v.minValue(0, withA("a negative size_in_bytes")),
  ),
);

const NON_OBJECT = "array contains at least one non-object resource";
const PresentSchema = v.pipe(
  v.object({ checksum, size_in_bytes }, NON_OBJECT),
  v.transform(({ checksum, size_in_bytes }): ResourceKey => `${checksum.value}:${size_in_bytes}`),
);
const RemovedSchema = v.pipe(
  v.object({ checksum }, NON_OBJECT),
  v.transform(({ checksum }) => checksum.value),
);

const NO_OBJECT = "The body must be an object";
const SECONDS_AGO = "seconds_ago must be a number, at least 0";
const OBSERVED_AT = "observed_at must be an ISO 8601 time in UTC, such as the time of the status";
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

function isIsoTime(text: string): boolean {
  return ISO_TIME.test(text) && !Number.isNaN(Date.parse(text));
}

function optionalArray(name: string) {
  return v.optional(v.custom<unknown[]>(Array.isArray, `${name} must be an array`), []);
}

/** Unknown members are errors: a misspelt `removed` would silently report nothing. */
const ObservationsSchema = v.pipe(
  v.custom<object>((body) => !Array.isArray(body), NO_OBJECT),
  v.strictObject(
    {
      seconds_ago: v.optional(
        v.pipe(v.number(SECONDS_AGO), v.finite(SECONDS_AGO), v.minValue(0, SECONDS_AGO)),
      ),
      observed_at: v.optional(v.pipe(v.string(OBSERVED_AT), v.check(isIsoTime, OBSERVED_AT))),
      present: optionalArray("present"),
      removed: optionalArray("removed"),
    },
    ({ expected, received }) => (expected === "never" ? `Unknown member ${received}` : NO_OBJECT),
  ),
  v.check(
    ({ seconds_ago, observed_at }) => seconds_ago === undefined || observed_at === undefined,
    "seconds_ago and observed_at exclude each other",
  ),
  v.check(
    ({ present, removed }) => present.length + removed.length <= OBSERVATIONS_MAX,
    `present and removed can have at most ${OBSERVATIONS_MAX} resources together`,
  ),
);

/**
 * Parses the body of `POST …/cache/observations`.
 *
 * @param text `{"observed_at":"<time>","present":[{"checksum":{"value":"<sha1>"},"size_in_bytes":36}],
 *   "removed":[{"checksum":{"value":"<sha1>"}}]}`. Each member is optional. `"seconds_ago":12.5` may replace `observed_at`: it
 *   counts back from `arrivedAt`. Other members of a resource are ignored
 * @param arrivedAt when the request arrived, in ms since the epoch
 * @returns a failure if the text is not JSON, or one that lists each distinct violation once
 */
export function parseObservations(text: string, arrivedAt: number): Required<Observations> | Failure {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Failure({ kind: "parse-error", reason: "the body is not JSON" });
  }
  const body = v.safeParse(ObservationsSchema, json);
  if (!body.success) return unprocessable(new Set(body.issues.map(({ message }) => message)));

  const violations = new Set<string>();
  const present = parseList("present", body.output.present, PresentSchema, violations);
  const removed = parseList("removed", body.output.removed, RemovedSchema, violations);
  if (violations.size > 0) return unprocessable(violations);

  const { seconds_ago: secondsAgo = 0, observed_at: observedAt } = body.output;
  // A time in the future would overrule the observations that follow.
  const asOf =
    observedAt === undefined
      ? Math.floor(arrivedAt - secondsAgo * 1000)
      : Math.min(Date.parse(observedAt), arrivedAt);
  return { asOf: Math.max(0, asOf), present, removed, sizes: "verified" };
}

function parseList<T>(
  name: string,
  resources: readonly unknown[],
  schema: v.GenericSchema<unknown, T>,
  violations: Set<string>,
): T[] {
  return resources.flatMap((resource) => {
    const { success, output, issues } = v.safeParse(schema, resource);
    if (success) return [output];
    for (const { message } of issues) violations.add(`${name} ${message}`);
    return [];
  });
}

function unprocessable(violations: ReadonlySet<string>): Failure {
  return new Failure({ kind: "unprocessable", violations: [...violations] });
}
