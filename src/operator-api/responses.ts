import * as v from "valibot";

// The Worker takes the types alone, so that its bundle has nothing of valibot's that is only for these.

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());
const describe = <S extends v.GenericSchema>(schema: S, text: string) => v.pipe(schema, v.description(text));

const RefusalsSchema = describe(
  v.object({
    "outside-limits": describe(count, "Their size lies outside MINIMUM_SIZE and MAXIMUM_SIZE."),
    "too-old": describe(count, "They were seen more than a day ago, or before everything was forgotten."),
    "conflicting-size": describe(count, "A client said a size where another was measured."),
  }),
  "Resources that were not taken, by reason.",
);

export const CACHE_CHECKS = [
  "matching",
  "catalog",
  "manifest",
  "snapshot",
  "keys",
  "suspension",
  "last hour",
] as const;

const CacheCheckSchema = v.object({
  name: v.picklist(CACHE_CHECKS),
  level: describe(
    v.picklist(["ok", "warn", "fail"]),
    "`fail` where pushes upload more than they need to, or soon will.",
  ),
  text: describe(v.string(), "In plain sentences: how it is, and where that is not well, what to do."),
});

/** One thing of the cache's state that was looked at. */
export type CacheCheck = v.InferOutput<typeof CacheCheckSchema>;

export const CacheStatusSchema = v.object({
  version: describe(v.string(), "Of this project."),
  time: describe(
    time,
    "The Worker's, before the answer was made: `observed_at` of what is seen of the pool from now on.",
  ),
  entries: describe(count, "Resources that the cache holds."),
  keys_waiting: describe(count, "Those of them whose key is not written to Workers KV yet."),
  tombstones: describe(count, "Removed resources that the catalog remembers."),
  dirty_since: describe(
    v.nullable(time),
    "Since when something has changed that is not published yet; null where all is published.",
  ),
  published: describe(
    v.nullable(
      v.object({
        at: time,
        delta: describe(
          v.object({ added: count, removed: count }),
          "The resources in which it differs from the snapshot.",
        ),
      }),
    ),
    "What the edge reads, and since when; null before the first publication.",
  ),
  snapshot: describe(
    v.nullable(v.object({ id: v.string(), entries: count, parts: count, built_at: time })),
    "The pool, packed; null before the first one.",
  ),
  suspended_until: describe(
    v.nullable(time),
    "Until then only the Cloud Controller answers, for it denied much of what the cache claimed.",
  ),
  last_hour: describe(
    v.object({ requests: count, eligible: count, matched: count }),
    "What the isolate that answers has answered to pushes in the last hour: requests, resources that could match by size and mode, and those that did. Other isolates have hours of their own.",
  ),
  checks: describe(
    v.array(CacheCheckSchema),
    "How the cache is in the Worker's own judgement, and what to do where that is not well.",
  ),
  refused: describe(RefusalsSchema, "Resources that were not taken, since the catalog began, by reason."),
  configuration: describe(
    v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])),
    "The Worker's variables as they hold, by name; of the Cloud Controller and optional bindings, whether they are set.",
  ),
});

/** What `GET …/cache` answers, and `POST …/cache/publication`. Times are in ISO 8601, UTC. */
export type CacheStatus = v.InferOutput<typeof CacheStatusSchema>;

export const CachedResourceSchema = v.object({
  checksum: v.object({
    value: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/), v.description("SHA-1 in lower-case hex.")),
  }),
  size_in_bytes: count,
});

/** A resource as the cache holds it; as `POST /v3/resource_matches` takes it. */
export type CachedResource = v.InferOutput<typeof CachedResourceSchema>;

export const ResourcePageSchema = v.object({
  resources: describe(v.array(CachedResourceSchema), "In the order of their SHA-1s."),
  after: v.exactOptional(
    describe(v.string(), "To be sent as `after` for the next page; absent on the last."),
  ),
});

/** What `GET …/cache/resources` answers: resources in the order of their SHA-1s. */
export type ResourcePage = v.InferOutput<typeof ResourcePageSchema>;

export const ObservationsResultSchema = v.object({
  changed: describe(count, "Resources that are held since, or no longer."),
  unchanged: describe(count, "What was known already, or has been overtaken by a later observation."),
  refused: RefusalsSchema,
});

/** What `POST …/cache/observations` answers: how many resources changed, did not, and were refused for which reason. */
export type ObservationsResult = v.InferOutput<typeof ObservationsResultSchema>;
