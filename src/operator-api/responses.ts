import * as v from "valibot";

// The Worker imports only the types: so these schemas, which document the API, are not in its bundle.

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());
const describe = <S extends v.GenericSchema>(schema: S, text: string) => v.pipe(schema, v.description(text));

const RefusalsSchema = describe(
  v.object({
    "outside-limits": describe(count, "The size is outside MINIMUM_SIZE and MAXIMUM_SIZE."),
    "too-old": describe(count, "The observation is older than a day, or than the last `DELETE …/cache`."),
    "conflicting-size": describe(
      count,
      "A pushing client reported a size that differs from the verified size.",
    ),
  }),
  "Resources that were refused, by reason.",
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
    "`fail`: pushes upload more than necessary, or will soon. `warn`: the same may happen if nothing is done.",
  ),
  text: describe(
    v.string(),
    "What was found. For `warn` and `fail` also what it means, and what to do about it.",
  ),
});

/** One check of the cache's state. */
export type CacheCheck = v.InferOutput<typeof CacheCheckSchema>;

export const CacheStatusSchema = v.object({
  version: describe(v.string(), "The version of this project."),
  time: describe(
    time,
    "The Worker's clock when it began to respond. Send it as `observed_at` of what is read from the pool after this response.",
  ),
  entries: describe(count, "Resources in the catalog."),
  keys_waiting: describe(count, "Resources whose key is not written to Workers KV yet."),
  removals: describe(
    count,
    "Removed resources, which the catalog keeps for 48 hours to overrule older observations.",
  ),
  dirty_since: describe(
    v.nullable(time),
    "The time of the oldest change that is not published yet; null if everything is published.",
  ),
  published: describe(
    v.nullable(
      v.object({
        at: time,
        delta: describe(
          v.object({ added: count, removed: count }),
          "How many resources were added and removed since the snapshot.",
        ),
      }),
    ),
    "The manifest that isolates read, and when it was written; null before the first publication.",
  ),
  snapshot: describe(
    v.nullable(v.object({ id: v.string(), entries: count, parts: count, built_at: time })),
    "The current snapshot; null before the first one.",
  ),
  suspended_until: describe(
    v.nullable(time),
    "The cache is suspended until this time, because the Cloud Controller rejected many of its matches. `DELETE …/cache` ends the suspension earlier. null if the cache is not suspended.",
  ),
  removed_since_suspension: describe(
    count,
    "Resources that were reported as removed since the suspension began; 0 if the cache is not suspended.",
  ),
  forgotten_at: describe(
    v.nullable(time),
    "The time of the last `DELETE …/cache`; null before the first one. Earlier observations of present resources are refused as `too-old`.",
  ),
  last_hour: describe(
    v.object({
      requests: count,
      eligible: count,
      matched: describe(
        count,
        "Matches of the cache, of the Cloud Controller, and of earlier requests of the push.",
      ),
      matched_by_cache: describe(
        count,
        "Matches of the cache, also those that the Cloud Controller verified before the response.",
      ),
      failed_open: describe(
        count,
        "Requests to which the Cloud Controller responded because the Worker failed.",
      ),
    }),
    "The pushes that this isolate served in the last hour: requests, eligible resources and matches. Each isolate counts its own.",
  ),
  checks: v.array(CacheCheckSchema),
  refused: describe(RefusalsSchema, "Resources that were refused since the catalog was created, by reason."),
  configuration: describe(
    v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])),
    "The Worker's variables by name, with their defaults. For CLOUD_CONTROLLER_URL and optional bindings: whether they are set.",
  ),
});

/** The body of `GET …/cache` and `POST …/cache/publication`. Times are in ISO 8601, UTC. */
export type CacheStatus = v.InferOutput<typeof CacheStatusSchema>;

export const CachedResourceSchema = v.object({
  checksum: v.object({
    value: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/), v.description("SHA-1 in lower-case hex.")),
  }),
  size_in_bytes: count,
});

/** A resource of the catalog, in the form that `POST /v3/resource_matches` takes. */
export type CachedResource = v.InferOutput<typeof CachedResourceSchema>;

export const ResourcePageSchema = v.object({
  resources: describe(v.array(CachedResourceSchema), "In the order of their SHA-1s."),
  after: v.exactOptional(
    describe(v.string(), "The `after` parameter of the next page; absent on the last page."),
  ),
});

/** The body of `GET …/cache/resources`. */
export type ResourcePage = v.InferOutput<typeof ResourcePageSchema>;

export const ObservationsResultSchema = v.object({
  changed: describe(count, "Resources that were added or removed."),
  unchanged: describe(count, "Resources that needed no change, or have a later observation."),
  refused: RefusalsSchema,
});

/** The body of the response to `POST …/cache/observations`. */
export type ObservationsResult = v.InferOutput<typeof ObservationsResultSchema>;
