import { readFileSync } from "node:fs";
import type { ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Exchange } from "../exchange.ts";

interface ResponseObject {
  headers?: Record<string, { $ref: string }>;
  content?: Record<string, unknown>;
}

const COMMON_HEADERS = ["content-type", "content-length"];
const JSON_TYPE = "application/json";
const ANY_TYPE = "*/*";

/** Checks the Worker's real responses against docs/openapi.json. */
export class DocumentedApi {
  readonly #document = JSON.parse(
    readFileSync(new URL("../../../docs/openapi.json", import.meta.url), "utf8"),
  );
  readonly #ajv = new Ajv2020({ allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor() {
    addFormats.default(this.#ajv);
    // The document is not a JSON Schema, but contains schemas.
    this.#ajv.addVocabulary(Object.keys(this.#document));
    // The document allows later versions to add members. Here every member must be documented.
    const closed = JSON.parse(JSON.stringify(this.#document), (_, value) =>
      value?.type === "object" && value.properties ? { additionalProperties: false, ...value } : value,
    );
    this.#ajv.addSchema(this.#document, "openapi");
    this.#ajv.addSchema(closed, "closed");
  }

  /** Differences between a response and the document, a line each. */
  differences({ method, path, sent, status, headers, body, isRelayed = false }: Exchange): string[] {
    const operation = this.#document.paths[path]?.[method.toLowerCase()];
    if (!operation) return [`${method} ${path} is not documented`];
    const at = `#/paths/${path.replaceAll("/", "~1")}/${method.toLowerCase()}`;
    // Only a relayed response may have a status that is not listed.
    const name = isRelayed && !operation.responses[status] ? "default" : status;
    const found = operation.responses[name];
    if (!found) return [`${status} is not documented`];
    const described: ResponseObject = this.#resolve(found);
    const pointer = found.$ref ?? `${at}/responses/${name}`;
    return [
      ...this.#headerDifferences(described, headers, isRelayed),
      ...this.#bodyDifferences(described, pointer, headers, body, isRelayed),
      ...(sent === undefined ? [] : this.#requestDifferences(at, sent, status)),
    ];
  }

  /** Violations of the schemas by the document's own examples, a line each. */
  wrongExamples(): string[] {
    const wrong: string[] = [];
    const visit = (node: unknown, pointer: string): void => {
      if (typeof node !== "object" || node === null) return;
      for (const [name, child] of Object.entries(node)) {
        visit(child, `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`);
      }
      const {
        schema,
        example,
        examples = {},
      } = node as { schema?: object; example?: object; examples?: object };
      if (!schema) return;
      const values = Object.values(examples).map(({ value }) => value);
      if (example !== undefined) values.push(example);
      for (const value of values) wrong.push(...this.#violations(`closed${pointer}/schema`, value));
    };
    visit(this.#document, "#");
    return wrong;
  }

  #headerDifferences(
    { headers: described = {} }: ResponseObject,
    headers: Exchange["headers"],
    mayHaveMore: boolean,
  ): string[] {
    const names = Object.keys(described);
    const unknown = Object.keys(headers).filter(
      (name) => !COMMON_HEADERS.includes(name) && !names.some((known) => known.toLowerCase() === name),
    );
    const wrong = names.flatMap((name) => {
      const value = headers[name.toLowerCase()];
      const { $ref } = described[name] as { $ref: string };
      if (value !== undefined) return this.#violations(`openapi${$ref}/schema`, value);
      return this.#resolve({ $ref }).required ? [`the header ${name} is absent`] : [];
    });
    if (mayHaveMore) return wrong;
    return [...unknown.map((name) => `the header ${name} is not documented`), ...wrong];
  }

  #bodyDifferences(
    { content }: ResponseObject,
    pointer: string,
    headers: Exchange["headers"],
    body: string,
    mayBeAny: boolean,
  ): string[] {
    if (!content) return body === "" ? [] : ["a body is not documented"];
    const type = headers["content-type"]?.split(";")[0] ?? "";
    if (mayBeAny && !content[type] && content[ANY_TYPE]) return [];
    if (!content[type]) return [`the Content-Type ${type} is not documented`];
    return this.#violations(`closed${pointer}/content/${type.replace("/", "~1")}/schema`, JSON.parse(body));
  }

  /** A request that gets 422 must violate the schema, and one that is accepted must satisfy it. */
  #requestDifferences(operation: string, sent: string, status: number): string[] {
    if (status === 400 || status === 413) return [];
    const schema = `openapi${operation}/requestBody/content/${JSON_TYPE.replace("/", "~1")}/schema`;
    const violations = this.#violations(schema, JSON.parse(sent || "{}"));
    if (status !== 422) return violations.map((violation) => `accepted, but ${violation}`);
    return violations.length === 0 ? ["rejected with 422, but valid by the document"] : [];
  }

  #violations(schema: string, value: unknown): string[] {
    const validate = this.#validators.get(schema) ?? this.#ajv.compile({ $ref: schema });
    this.#validators.set(schema, validate);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || "it"} ${message}`);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a node of any type
  #resolve(node: { $ref?: string }): any {
    if (!node.$ref) return node;
    return node.$ref
      .slice(2)
      .split("/")
      .reduce((parent, name) => parent[name], this.#document);
  }
}
