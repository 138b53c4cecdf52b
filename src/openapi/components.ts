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
import { ResourceSchema } from "../resource-match/request.ts";
import { ErrorsSchema } from "./failures.ts";
import { type JsonSchema, jsonSchemaOf } from "./json-schema.ts";

export const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const arrayOf = (name: string, description: string): JsonSchema => ({
  type: "array",
  items: ref(name),
  description,
});

/** An entry of Server-Timing: the Worker's, or one that Cloudflare adds, such as `cfL4;desc="?proto=TCP"`. */
const TIMING = '([a-z-]+;dur=[0-9.]+|cf[A-Za-z0-9]+(;[a-z]+=("[^"]*"|[^",;]+))*)';

/** What the request and the answer have in common, but for null, which the answer never has. */
const MatchSchema = v.object({
  checksum: v.object({ value: v.pipe(v.string(), v.regex(/^[0-9A-Fa-f]{40}$/)) }),
  size_in_bytes: v.pipe(v.number(), v.integer(), v.minValue(0)),
  path: v.exactOptional(v.string()),
  mode: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-7]+$/))),
});

function observationsRequest(): JsonSchema {
  const schema = jsonSchemaOf(ObservationsSchema);
  const { present, removed, ...times } = schema.properties ?? {};
  const list = (property: typeof present, name: string, description: string) => ({
    ...(property as JsonSchema),
    ...arrayOf(name, description),
    maxItems: OBSERVATIONS_MAX,
  });
  return {
    ...schema,
    description: `At most ${OBSERVATIONS_MAX} resources, present and removed together, and at most one of the times.`,
    properties: {
      seconds_ago: {
        ...(times.seconds_ago as JsonSchema),
        description: "How long before the request arrived the pool was looked at.",
      },
      observed_at: {
        ...(times.observed_at as JsonSchema),
        description: "When it was looked at: a `time` that `GET /v3/resource_matches/cache` told before.",
      },
      present: list(present, "Present", "What the pool held."),
      removed: list(removed, "Removed", "What it did not hold, whatever the size."),
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
        description: "An access token of the foundation's UAA: what `cf oauth-token` prints.",
      },
    },
    headers: {
      "X-Vcap-Request-Id": {
        description:
          "The request's id in the log: the one that was sent as `X-Vcap-Request-Id` or `X-Request-Id`, and `::` and a UUID; a UUID alone where none was sent.",
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
        description: "Warnings for who pushes, each percent-encoded, joined with commas.",
        schema: { type: "string", pattern: "^[^ ]+$" },
      },
      "Server-Timing": {
        description:
          "How long the request waited for what, in ms: `token;dur=2, keys;dur=14, total;dur=19`. Cloudflare may add entries whose names begin with `cf`.",
        schema: { type: "string", pattern: `^${TIMING}(, ?${TIMING})*$` },
      },
      "Retry-After": {
        description: "Seconds to wait. The Worker's own answers always tell; a relayed one may not.",
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
        ...jsonSchemaOf(ResourceSchema),
        description:
          "A file: its SHA-1, its size, where it lies in the app and its octal mode. 40 characters that are not hex are valid, and never match.",
      },
      ResourceMatches: {
        type: "object",
        required: ["resources"],
        properties: {
          resources: arrayOf("Match", "Those of the request that the platform holds, in its order."),
        },
      },
      Match: {
        ...jsonSchemaOf(MatchSchema),
        description: "An entry of the request. What was absent there, or null, is absent here.",
      },
      CacheStatus: jsonSchemaOf(CacheStatusSchema),
      ResourcePage: jsonSchemaOf(ResourcePageSchema),
      CachedResource: jsonSchemaOf(CachedResourceSchema),
      ObservationsRequest: observationsRequest(),
      Present: jsonSchemaOf(PresentSchema),
      Removed: jsonSchemaOf(RemovedSchema),
      ObservationsAnswer: jsonSchemaOf(ObservationsResultSchema),
      Errors: { ...jsonSchemaOf(ErrorsSchema), description: "Cloud Foundry's error envelope." },
    },
  };
}
