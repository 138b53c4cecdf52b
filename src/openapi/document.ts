import manifest from "../../package.json" with { type: "json" };
import { Failure } from "../failure.ts";
import { parseObservations } from "../operator-api/observations.ts";
import { parseResources } from "../resource-match/resource-schema.ts";
import { components, schemaRef } from "./components.ts";
import {
  allErrorResponses,
  COMMON_HEADERS,
  COMMON_RESPONSES,
  errorResponses,
  withRelayedResponses,
} from "./error-responses.ts";
import * as examples from "./examples.ts";

const READ =
  "Needs `cloud_controller.admin`, `cloud_controller.admin_read_only` or `cloud_controller.global_auditor`.";
const WRITE = "Needs `cloud_controller.admin`.";

/** The OpenAPI 3.1 document of the endpoint and the operator API. Its responses are made from the Worker's own schemas and failures. */
export function openApiDocument(): object {
  const failures = errorResponses(["catalog-unavailable"]);
  return {
    openapi: "3.1.1",
    info: {
      title: manifest.name,
      version: manifest.version,
      summary: manifest.description,
      description:
        "Matches the files of an app with those that a Cloud Foundry platform already has, and lets the operator read and update the cache.",
      license: { name: "Apache License 2.0", identifier: manifest.license },
    },
    servers: [
      {
        url: "https://api.{system_domain}",
        description: "The Cloud Foundry API, with a route to the Worker.",
        variables: { system_domain: { default: "example.com" } },
      },
      { url: "http://localhost:8787", description: "`npm start` and `wrangler dev`." },
    ],
    security: [{ bearer: [] }],
    tags: [
      { name: "matches", description: "The endpoint that `cf push` calls." },
      { name: "cache", description: "The operator API." },
    ],
    paths: {
      "/v3/resource_matches": {
        post: {
          operationId: "matchResources",
          tags: ["matches"],
          summary: "Match resources.",
          description:
            "Returns the resources that the platform has. Needs `cloud_controller.write` or `cloud_controller.admin`. In shadow " +
            "mode (`MODE`) the request is passed through, and the Cloud Controller's response is relayed unchanged.",
          requestBody: jsonBody("ResourceMatchesRequest", examples.MATCH_REQUEST),
          responses: withRelayedResponses({
            201: jsonResponse("ResourceMatches", "The resources that the platform has.", examples.MATCHES, {
              "X-Cf-Warnings": { $ref: "#/components/headers/X-Cf-Warnings" },
              "Server-Timing": { $ref: "#/components/headers/Server-Timing" },
            }),
            ...allErrorResponses(
              [
                "parse-error",
                "app-bits-upload-disabled",
                "body-too-large",
                "non-canonical-body-too-large",
                "cloud-controller-unavailable",
                "unprocessable",
              ],
              violationsOf(parseResources('{"resources":[]}')),
            ),
            409: jsonResponse(
              "Errors",
              "The Cloud Controller's own 409, relayed unchanged; its 401 and 403 likewise.",
            ),
          }),
        },
      },
      "/v3/resource_matches/cache": {
        get: {
          operationId: "getStatus",
          tags: ["cache"],
          summary: "Get the status of the cache and the configuration of the Worker.",
          description: `${READ} A client that prefers HTML gets a page instead, with a field for a token, which shows the status.`,
          responses: {
            200: withPage(jsonResponse("CacheStatus", "The status.", examples.STATUS)),
            ...failures,
          },
        },
        delete: {
          operationId: "forgetEverything",
          tags: ["cache"],
          summary: "Remove all resources from the cache.",
          description: `Ends a suspension. Observations from before are refused afterwards. ${WRITE}`,
          responses: {
            204: { description: "All resources are removed.", headers: COMMON_HEADERS },
            ...failures,
          },
        },
      },
      "/v3/resource_matches/cache/resources": {
        get: {
          operationId: "listResources",
          tags: ["cache"],
          summary: "List the resources in the cache.",
          description: `Pages of 10,000 resources. ${READ}`,
          parameters: [
            {
              name: "after",
              in: "query",
              description: "Start after this SHA-1: the `after` of the previous page.",
              schema: { type: "string", pattern: "^[0-9A-Fa-f]{40}$" },
            },
          ],
          responses: {
            200: jsonResponse("ResourcePage", "A page.", examples.PAGE),
            ...errorResponses(
              ["catalog-unavailable", "unprocessable"],
              "after must be a SHA-1 of 40 hex digits",
            ),
          },
        },
      },
      "/v3/resource_matches/cache/observations": {
        post: {
          operationId: "reportObservations",
          tags: ["cache"],
          summary: "Report which resources the pool has, and which it no longer has.",
          description: `For each SHA-1 the later observation wins, in any order of arrival. ${WRITE}`,
          requestBody: jsonBody("ObservationsRequest", examples.OBSERVATIONS),
          responses: {
            200: jsonResponse(
              "ObservationsResult",
              "How many resources changed.",
              examples.OBSERVATIONS_RESULT,
            ),
            ...errorResponses(
              ["parse-error", "body-too-large", "catalog-unavailable", "unprocessable"],
              violationsOf(parseObservations('{"remove":[]}', 0)),
            ),
          },
        },
      },
      "/v3/resource_matches/cache/publication": {
        post: {
          operationId: "republish",
          tags: ["cache"],
          summary: "Publish everything again.",
          description: `Writes a new snapshot and all keys. This repairs a KV namespace that was damaged or emptied. ${WRITE}`,
          responses: {
            202: jsonResponse(
              "CacheStatus",
              "The publication has begun. The status is from before it.",
              examples.STATUS,
            ),
            ...failures,
          },
        },
      },
    },
    components: { responses: COMMON_RESPONSES, ...components() },
  };
}

function jsonBody(schema: string, example: object): object {
  return {
    required: true,
    description: "At most 15 MiB. The Content-Type is ignored.",
    content: { "application/json": { schema: schemaRef(schema), example } },
  };
}

/** Adds the HTML page, which clients that prefer HTML get without a token. */
function withPage(status: { content: object }): object {
  return { ...status, content: { ...status.content, "text/html": { schema: { type: "string" } } } };
}

function jsonResponse(schema: string, description: string, example?: object, headers: object = {}) {
  const content = { schema: schemaRef(schema), ...(example && { example }) };
  return {
    description,
    headers: { ...COMMON_HEADERS, ...headers },
    content: { "application/json": content },
  };
}

/** The violations of an invalid request, so that the example is the Worker's own message. */
function violationsOf(outcome: unknown): string {
  if (outcome instanceof Failure) return outcome.reason;
  throw new Error("The example of an invalid request is valid.");
}
