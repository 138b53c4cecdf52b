import { readFile } from "node:fs/promises";
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, it } from "vitest";
import { openApiDocument } from "../../src/openapi/document.ts";
import { DocumentedApi } from "../support/node/documented-api.ts";

const committed = await readFile(new URL("../../docs/openapi.json", import.meta.url), "utf8");

it("keeps docs/openapi.json up to date with the schemas: run `npm run openapi` after a change", () => {
  expect(JSON.parse(committed)).toEqual(openApiDocument());
});

it("writes valid OpenAPI 3.1 without dangling references to docs/openapi.json", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(JSON.parse(committed));
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
  expect(validator.version).toBe("3.1");
  expect(() => validator.resolveRefs()).not.toThrow();
});

it("documents only examples that satisfy their schemas", () => {
  expect(new DocumentedApi().wrongExamples()).toEqual([]);
});

it("reports every status, member and header of a response that is not documented", () => {
  const api = new DocumentedApi();
  const exchange = {
    method: "POST",
    path: "/v3/resource_matches",
    sent: '{"resources":[{"checksum":{"value":"002d760bea1be268e27077412e11a320d0f164d3"},"size_in_bytes":1}]}',
    status: 201,
    headers: {
      "content-type": "application/json; charset=utf-8",
      "x-vcap-request-id": "01234567-89ab-cdef-0123-456789abcdef",
    },
    body: '{"resources":[]}',
  };
  expect(api.differences(exchange)).toEqual([]);
  const differs = (changes: object) => api.differences({ ...exchange, ...changes });
  expect(differs({ status: 418 })).toEqual(["418 is not documented"]);
  expect(differs({ body: '{"resources":[],"more":1}' })).toEqual(["it must NOT have additional properties"]);
  expect(differs({ body: '{"resources":[{"checksum":{}}]}' })).toContain(
    "/resources/0 must have required property 'size_in_bytes'",
  );
  expect(differs({ headers: { ...exchange.headers, location: "/" } })).toEqual([
    "the header location is not documented",
  ]);
  expect(differs({ headers: { "content-type": "application/json" } })).toEqual([
    "the header X-Vcap-Request-Id is absent",
  ]);
  const timed = (timing: string) => differs({ headers: { ...exchange.headers, "server-timing": timing } });
  // Cloudflare may add entries.
  expect(
    timed('token;dur=2, push-sessions;dur=0, total;dur=19,cfL4;desc="?proto=TCP&rtt=1,2", cfExtPri'),
  ).toEqual([]);
  for (const wrong of ["token;dur=2, total", "token;dur=", 'token;desc="2"', "token;dur=2, "]) {
    expect(timed(wrong)).toEqual([expect.stringContaining("it must match pattern")]);
  }
  expect(differs({ sent: "{}" })).toEqual(["accepted, but it must have required property 'resources'"]);
  // In shadow mode the Cloud Controller's own response is possible, but only there.
  const html = {
    status: 418,
    headers: { ...exchange.headers, "content-type": "text/html" },
    body: "<h1>Tea</h1>",
  };
  expect(differs({ ...html, isRelayed: true })).toEqual([]);
  expect(differs({ ...html, status: 413 })).toContain("the Content-Type text/html is not documented");
  expect(differs({ status: 422, body: '{"errors":[{"detail":"","title":"","code":1}]}' })).toEqual([
    "rejected with 422, but valid by the document",
  ]);
});
