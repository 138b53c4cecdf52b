import * as v from "valibot";
import { OBSERVATIONS_MAX } from "../catalog/observations.ts";
import { ObservationsSchema, PresentSchema, RemovedSchema } from "../operator-api/observations.ts";
import {
  CachedResourceSchema,
  CacheStatusSchema,
  ObservationsResultSchema,
  ResourcePageSchema,
} from "../operator-api/responses.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { ResourceSchema } from "../resource-match/resource-schema.ts";
import { ErrorsSchema } from "./error-responses.ts";
import { type JsonSchema, toJsonSchema } from "./json-schema.ts";

export const schemaRef = (name: string) => ({ $ref: `#/components/schemas/${name}` });

function arrayOf(name: string, description: string): JsonSchema {
  return { type: "array", items: schemaRef(name), description };
}

/** An entry of Server-Timing: the Worker's, or one that Cloudflare adds, such as `cfL4;desc="?proto=TCP"`. */
const TIMING = '([a-z-]+;dur=[0-9.]+|cf[A-Za-z0-9]+(;[a-z]+=("[^"]*"|[^",;]+))*)';

/** A resource of the response. Unlike one of the request, it has no null. */
const MatchSchema = v.object({
  checksum: v.object({ value: v.pipe(v.string(), v.regex(/^[0-9A-Fa-f]{40}$/)) }),
  size_in_bytes: v.pipe(v.number(), v.integer(), v.minValue(0)),
  path: v.exactOptional(v.string()),
  mode: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-7]+$/))),
});

function observationsRequest(): JsonSchema {
  const schema = toJsonSchema(ObservationsSchema);
  const { present, removed, seconds_ago, observed_at } = schema.properties as Record<string, JsonSchema>;
  return {
    ...schema,
    description: `At most ${OBSERVATIONS_MAX} resources, present and removed together, and at most one of the times.`,
    properties: {
      seconds_ago: {
        ...seconds_ago,
        description: "How long before this request arrived the pool was read.",
      },
      observed_at: {
        ...observed_at,
        description:
          "When the pool was read: the `time` of a `GET /v3/resource_matches/cache` from before that.",
      },
      present: {
        ...present,
        ...arrayOf("Present", "Resources that the pool had."),
        maxItems: OBSERVATIONS_MAX,
      },
      removed: {
        ...removed,
        ...arrayOf("Removed", "SHA-1s that the pool did not have, in any size."),
        maxItems: OBSERVATIONS_MAX,
      },
    },
  };
}

export function components(): object {
  return {
    securitySchemes: {
      bearer: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "An access token of the foundation's UAA, as `cf oauth-token` prints it.",
      },
    },
    headers: {
      "X-Vcap-Request-Id": {
        description:
          "The request's id in the log: the id that was sent as `X-Vcap-Request-Id` or `X-Request-Id`, then `::` and a UUID; only a UUID if no id was sent.",
        required: true,
        schema: { type: "string", pattern: "^([A-Za-z0-9_-]{0,255}::)?[0-9a-f-]{36}$" },
      },
      "X-B3-TraceId": {
        description:
          "As in the request, if that has both `X-B3-TraceId` and `X-B3-SpanId`. cf CLI sends the same trace id with every request of a run.",
        schema: { type: "string" },
      },
      "X-B3-SpanId": {
        description: "As in the request, if that has both `X-B3-TraceId` and `X-B3-SpanId`.",
        schema: { type: "string" },
      },
      "X-Cf-Warnings": {
        description: "Warnings that cf CLI prints, each percent-encoded, joined with commas.",
        schema: { type: "string", pattern: "^[^ ]+$" },
      },
      "Server-Timing": {
        description:
          "How long the request waited for each step, in ms: `token;dur=2, keys;dur=14, total;dur=19`. Cloudflare may add entries whose names begin with `cf`.",
        schema: { type: "string", pattern: `^${TIMING}(, ?${TIMING})*$` },
      },
      "Retry-After": {
        description:
          "Seconds to wait before a retry. The Worker's own responses always have it; a relayed response may not.",
        schema: { type: "string", pattern: "^[0-9]+$" },
      },
    },
    schemas: {
      ResourceMatchesRequest: {
        type: "object",
        required: ["resources"],
        properties: {
          resources: {
            ...arrayOf("Resource", "Files of an app."),
            minItems: 1,
            maxItems: RESOURCES_PER_REQUEST_MAX,
          },
        },
      },
      Resource: {
        ...toJsonSchema(ResourceSchema),
        description:
          "A file: its SHA-1, its size, its path in the app and its octal mode. A checksum of 40 characters that are not all hex is valid, and never matches.",
      },
      ResourceMatches: {
        type: "object",
        required: ["resources"],
        properties: {
          resources: arrayOf(
            "Match",
            "The resources of the request that the platform has, in the order of the request.",
          ),
        },
      },
      Match: {
        ...toJsonSchema(MatchSchema),
        description: "A resource of the request. Members that were absent or null are absent.",
      },
      CacheStatus: toJsonSchema(CacheStatusSchema),
      ResourcePage: toJsonSchema(ResourcePageSchema),
      CachedResource: toJsonSchema(CachedResourceSchema),
      ObservationsRequest: observationsRequest(),
      Present: toJsonSchema(PresentSchema),
      Removed: toJsonSchema(RemovedSchema),
      ObservationsResult: toJsonSchema(ObservationsResultSchema),
      Errors: { ...toJsonSchema(ErrorsSchema), description: "Cloud Foundry's error envelope." },
    },
  };
}
