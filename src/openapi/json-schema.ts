import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { hasAtMostOneTime, isIsoTime, isWithinLimit } from "../operator-api/observations.ts";
import { isObject, isSha1Length } from "../resource-match/request.ts";
import { isSha1Hex } from "../resources/sha1.ts";

export type { JsonSchema };

/** What the functions that judge a value ask of it, as far as JSON Schema can say it. */
const MEANINGS = new Map<unknown, JsonSchema>([
  [Number.isInteger, { type: "integer" }],
  [Number.isSafeInteger, { type: "integer", maximum: Number.MAX_SAFE_INTEGER }],
  [Array.isArray, { type: "array" }],
  [isObject, { type: "object" }],
  [isSha1Hex, { pattern: "^[0-9A-Fa-f]{40}$" }],
  [isSha1Length, { minLength: 40, maxLength: 40 }],
  [isIsoTime, { format: "date-time", pattern: "Z$" }],
  [hasAtMostOneTime, { not: { required: ["seconds_ago", "observed_at"] } }],
  // Of two lists together it has no words; each is told its own maximum.
  [isWithinLimit, {}],
]);

/**
 * The JSON Schema of what satisfies a valibot schema.
 *
 * @throws Error for a schema that has no such form, like a function that is not in the list above
 */
export function jsonSchemaOf(schema: v.GenericSchema): JsonSchema {
  // In draft 2020-12, which OpenAPI 3.1 has. "output" takes of a pipe the last schema, which says most.
  const { $schema: _, ...converted } = toJsonSchema(schema, {
    target: "draft-2020-12",
    typeMode: "output",
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      if ("check" in valibotSchema) return MEANINGS.get(valibotSchema.check);
      if ("entries" in valibotSchema) {
        return withPresent(jsonSchema, valibotSchema.entries as Record<string, v.GenericSchema>);
      }
      return undefined;
    },
    overrideAction: ({ valibotAction, jsonSchema }) => {
      // No number of JSON is infinite.
      if (valibotAction.type === "finite") return jsonSchema;
      const meaning = "requirement" in valibotAction ? MEANINGS.get(valibotAction.requirement) : undefined;
      return meaning && { ...jsonSchema, ...meaning };
    },
  });
  return converted;
}

/** Members that are judged as null where they are absent (`present` in request.ts) must be there. */
function withPresent(jsonSchema: JsonSchema, entries: Record<string, v.GenericSchema>): JsonSchema {
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
