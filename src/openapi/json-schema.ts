import { toJsonSchema as convertSchema, type JsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { hasAtMostOneTime, isIsoTime, isWithinLimit } from "../operator-api/observations.ts";
import { isObject, isSha1Length } from "../resource-match/resource-schema.ts";
import { isSha1Hex } from "../resources/sha1.ts";

export type { JsonSchema };

/** JSON Schemas of the functions that the valibot schemas check values with. */
const CHECKS = new Map<unknown, JsonSchema>([
  [Number.isInteger, { type: "integer" }],
  [Number.isSafeInteger, { type: "integer", maximum: Number.MAX_SAFE_INTEGER }],
  [Array.isArray, { type: "array" }],
  [isObject, { type: "object" }],
  [isSha1Hex, { pattern: "^[0-9A-Fa-f]{40}$" }],
  [isSha1Length, { minLength: 40, maxLength: 40 }],
  [isIsoTime, { format: "date-time", pattern: "Z$" }],
  [hasAtMostOneTime, { not: { required: ["seconds_ago", "observed_at"] } }],
  // JSON Schema can't limit two arrays together. Each has the limit as its own `maxItems`.
  [isWithinLimit, {}],
]);

/**
 * The JSON Schema (draft 2020-12, as in OpenAPI 3.1) of the values that satisfy a valibot schema.
 *
 * @throws Error if a part of the schema has no equivalent, such as a function that is not in `CHECKS`
 */
export function toJsonSchema(schema: v.GenericSchema): JsonSchema {
  const { $schema: _, ...converted } = convertSchema(schema, {
    target: "draft-2020-12",
    // Converts the last schema of a pipe, which is the most specific.
    typeMode: "output",
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      if ("check" in valibotSchema) return CHECKS.get(valibotSchema.check);
      if ("entries" in valibotSchema) {
        return requirePresentMembers(jsonSchema, valibotSchema.entries as Record<string, v.GenericSchema>);
      }
      return undefined;
    },
    overrideAction: ({ valibotAction, jsonSchema }) => {
      // Every number in JSON is finite.
      if (valibotAction.type === "finite") return jsonSchema;
      const check = "requirement" in valibotAction ? CHECKS.get(valibotAction.requirement) : undefined;
      return check && { ...jsonSchema, ...check };
    },
  });
  return converted;
}

/** Requires the members that default to null (`present` in request.ts): their schemas reject null. */
function requirePresentMembers(jsonSchema: JsonSchema, entries: Record<string, v.GenericSchema>): JsonSchema {
  const properties = { ...jsonSchema.properties };
  const required = new Set(jsonSchema.required);
  for (const [name, entry] of Object.entries(entries)) {
    if (entry.type !== "optional" || (entry as { default?: unknown }).default !== null) continue;
    const { default: _, ...property } = properties[name] as JsonSchema;
    properties[name] = property;
    required.add(name);
  }
  return { ...jsonSchema, properties, required: [...required] };
}
