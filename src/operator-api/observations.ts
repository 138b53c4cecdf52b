import * as v from "valibot";
import { OBSERVATIONS_MAX } from "../catalog/observations.ts";
import { Failure } from "../failure.ts";
import { present, withA } from "../resource-match/request.ts";
import { type ResourceKey, resourceKey } from "../resources/resource-key.ts";
import { isSha1Hex } from "../resources/sha1.ts";

/** What an operator has seen of the pool. */
export interface ReportedObservations {
  /** Before it was looked at, in ms since the epoch by the Worker's clock. */
  asOf: number;
  present: ResourceKey[];
  /** SHA-1s in lower-case hex. */
  removed: string[];
}

const checksum = present(
  v.object(
    {
      value: present(
        v.pipe(
          v.string(withA("a non-string checksum value")),
          v.check(isSha1Hex, withA("a non-SHA1 checksum value")),
        ),
      ),
    },
    withA("a non-object checksum"),
  ),
);

const size_in_bytes = present(
  v.pipe(
    v.custom<number>(Number.isSafeInteger, withA("a non-integer size_in_bytes")),
    v.minValue(0, withA("a negative size_in_bytes")),
  ),
);

const NO_OBJECT = "array contains at least one non-object resource";
export const PresentSchema = v.object({ checksum, size_in_bytes }, NO_OBJECT);
export const RemovedSchema = v.object({ checksum }, NO_OBJECT);

const SECONDS_AGO = "Seconds ago must be a number, at least 0";
const OBSERVED_AT = "Observed at must be a time in ISO 8601, as GET cache tells it";
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
export const isIsoTime = (text: string) => ISO_TIME.test(text) && !Number.isNaN(Date.parse(text));
const list = (name: string) => v.optional(v.custom<unknown[]>(Array.isArray, `${name} must be an array`), []);

interface ObservationsBody {
  seconds_ago?: number | undefined;
  observed_at?: string | undefined;
  present: unknown[];
  removed: unknown[];
}

export const hasAtMostOneTime = ({ seconds_ago, observed_at }: ObservationsBody) =>
  seconds_ago === undefined || observed_at === undefined;

export const isWithinLimit = ({ present, removed }: ObservationsBody) =>
  present.length + removed.length <= OBSERVATIONS_MAX;

/** Strict, so that a misspelt member does not lose what it tells. */
export const ObservationsSchema = v.pipe(
  v.custom<object>((body) => !Array.isArray(body), "The body must be an object"),
  v.strictObject(
    {
      seconds_ago: v.optional(
        v.pipe(v.number(SECONDS_AGO), v.finite(SECONDS_AGO), v.minValue(0, SECONDS_AGO)),
      ),
      observed_at: v.optional(v.pipe(v.string(OBSERVED_AT), v.check(isIsoTime, OBSERVED_AT))),
      present: list("Present"),
      removed: list("Removed"),
    },
    ({ expected, received }) =>
      expected === "never" ? `Unknown member ${received}` : "The body must be an object",
  ),
  v.check(hasAtMostOneTime, "Seconds ago and observed at exclude each other"),
  v.check(isWithinLimit, `Present and removed can have at most ${OBSERVATIONS_MAX} resources together`),
);

/**
 * The observations that a request tells.
 *
 * @param text `{"observed_at":"<time>","held":[{"checksum":{"value":"<sha1>"},"size_in_bytes":36}],
 *   "removed":[{"checksum":{"value":"<sha1>"}}]}`, each member optional; other members of a resource are not looked at.
 *   `"seconds_ago":12.5` stands for a time so long before the request arrived
 * @param arrivedAt when it did, in ms since the epoch
 * @returns a failure for what is no JSON, and one that tells every violation once, in the order met
 */
export function parseObservations(text: string, arrivedAt: number): ReportedObservations | Failure {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Failure({ kind: "parse-error", reason: "the body is no JSON" });
  }
  const body = v.safeParse(ObservationsSchema, json);
  if (!body.success) return unprocessable(new Set(body.issues.map(({ message }) => message)));

  const { seconds_ago: secondsAgo = 0, observed_at: observedAt, present, removed } = body.output;
  const asOf =
    observedAt === undefined
      ? Math.floor(arrivedAt - secondsAgo * 1000)
      : Math.min(Date.parse(observedAt), arrivedAt);
  const violations = new Set<string>();
  const examine = (name: string, schema: v.GenericSchema, resource: unknown) => {
    for (const { message } of v.safeParse(schema, resource).issues ?? [])
      violations.add(`${name} ${message}`);
  };
  const keys: ResourceKey[] = [];
  for (const resource of present) {
    const key = keyOf(resource);
    if (key === undefined) examine("Present", PresentSchema, resource);
    else keys.push(key);
  }
  const sha1s: string[] = [];
  for (const resource of removed) {
    const sha1 = sha1Of(resource);
    if (sha1 === undefined) examine("Removed", RemovedSchema, resource);
    else sha1s.push(sha1);
  }
  if (violations.size > 0) return unprocessable(violations);
  return { asOf: Math.max(0, asOf), present: keys, removed: sha1s };
}

/** The key of what satisfies `HeldSchema`, found in a tenth of the schema's time, of which 50,000 take a second. */
function keyOf(resource: unknown): ResourceKey | undefined {
  const sha1 = sha1Of(resource);
  const size = (resource as { size_in_bytes?: unknown } | null)?.size_in_bytes;
  const isSize = Number.isSafeInteger(size) && (size as number) >= 0;
  return sha1 !== undefined && isSize ? resourceKey(sha1, size as number) : undefined;
}

/** The SHA-1 of what satisfies `RemovedSchema`. */
function sha1Of(resource: unknown): string | undefined {
  const value = (resource as { checksum?: { value?: unknown } | null } | null)?.checksum?.value;
  return typeof value === "string" && isSha1Hex(value) ? value.toLowerCase() : undefined;
}

function unprocessable(violations: ReadonlySet<string>): Failure {
  return new Failure({ kind: "unprocessable", violations: [...violations] });
}
