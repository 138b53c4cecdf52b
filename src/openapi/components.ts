import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import { OBSERVATIONS_MAX } from "../catalog/observations.ts";
import {
  CachedResourceSchema,
  CacheStatusSchema,
  ObservationsResultSchema,
  ResourcePageSchema,
} from "../operator-api/responses.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";

export const schemaRef = (name: string) => ({ $ref: `#/components/schemas/${name}` });

function arrayOf(name: string, description: string, limits: JsonSchema = {}): JsonSchema {
  return { type: "array", items: schemaRef(name), ...limits, description };
}

/** An object without optional members. */
function objectOf(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: "object", required: Object.keys(properties), properties };
}

/** The JSON Schema of a response. */
function schemaOf(schema: GenericSchema): JsonSchema {
  const { $schema: _, ...converted } = toJsonSchema(schema, { target: "draft-2020-12" });
  return converted;
}

/** An entry of Server-Timing: the Worker's, or one that Cloudflare adds, such as `cfL4;desc="?proto=TCP"`. */
const TIMING = '([a-z-]+;dur=[0-9.]+|cf[A-Za-z0-9]+(;[a-z]+=("[^"]*"|[^",;]+))*)';

const ERROR = objectOf({
  detail: { type: "string", description: "The error message for people." },
  title: { type: "string", description: "The error's name for programs: `CF-InvalidAuthToken`." },
  code: { type: "integer", description: "Cloud Foundry's number of the title." },
});
const POOL_CHECKSUM = objectOf({ value: { type: "string", pattern: "^[0-9A-Fa-f]{40}$" } });
const OBSERVATIONS_LIMITS: JsonSchema = { default: [], maxItems: OBSERVATIONS_MAX };
const SIZE: JsonSchema = { type: "integer", minimum: 0 };
const MODE: JsonSchema = { type: "string", pattern: "^[0-7]+$" };

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
    // The valibot schemas of requests check values with functions, which can't be converted. Tests send each request to both.
    schemas: {
      ResourceMatchesRequest: objectOf({
        resources: arrayOf("Resource", "Files of an app.", {
          minItems: 1,
          maxItems: RESOURCES_PER_REQUEST_MAX,
        }),
      }),
      Resource: {
        type: "object",
        required: ["checksum", "size_in_bytes"],
        properties: {
          checksum: objectOf({ value: { type: "string", minLength: 40, maxLength: 40 } }),
          size_in_bytes: SIZE,
          mode: { ...MODE, type: ["string", "null"] },
          path: { type: ["string", "null"] },
        },
        description:
          "A file: its SHA-1, its size, its path in the app and its octal mode. A checksum of 40 characters that are not all hex is valid, and never matches.",
      },
      ResourceMatches: objectOf({
        resources: arrayOf(
          "Match",
          "The resources of the request that the platform has, in the order of the request.",
        ),
      }),
      Match: {
        type: "object",
        required: ["checksum", "size_in_bytes"],
        properties: {
          checksum: POOL_CHECKSUM,
          size_in_bytes: SIZE,
          path: { type: "string" },
          mode: MODE,
        },
        description: "A resource of the request. Members that were absent or null are absent.",
      },
      CacheStatus: schemaOf(CacheStatusSchema),
      ResourcePage: schemaOf(ResourcePageSchema),
      CachedResource: schemaOf(CachedResourceSchema),
      ObservationsRequest: {
        type: "object",
        properties: {
          seconds_ago: {
            type: "number",
            minimum: 0,
            description: "How long before this request arrived the pool was read.",
          },
          observed_at: {
            type: "string",
            format: "date-time",
            pattern: "Z$",
            description:
              "When the pool was read: the `time` of a `GET /v3/resource_matches/cache` from before that.",
          },
          present: arrayOf("Present", "Resources that the pool had.", OBSERVATIONS_LIMITS),
          removed: arrayOf("Removed", "SHA-1s that the pool did not have, in any size.", OBSERVATIONS_LIMITS),
        },
        additionalProperties: false,
        not: { required: ["seconds_ago", "observed_at"] },
        description: `At most ${OBSERVATIONS_MAX} resources, present and removed together, and at most one of the times.`,
      },
      Present: objectOf({
        checksum: POOL_CHECKSUM,
        size_in_bytes: { ...SIZE, maximum: Number.MAX_SAFE_INTEGER },
      }),
      Removed: objectOf({ checksum: POOL_CHECKSUM }),
      ObservationsResult: schemaOf(ObservationsResultSchema),
      Errors: {
        ...objectOf({ errors: { type: "array", items: ERROR, minItems: 1 } }),
        description: "Cloud Foundry's error envelope.",
      },
    },
  };
}
