import manifest from "../../package.json" with { type: "json" };
import { Failure } from "../failure.ts";
import { parseObservations } from "../operator-api/observations.ts";
import { parseResources } from "../resource-match/request.ts";
import { components, ref } from "./components.ts";
import * as examples from "./examples.ts";
import { COMMON_HEADERS, failureResponses, sharedResponses } from "./failures.ts";
import { orRelayed } from "./relayed.ts";

const READ =
  "Needs `cloud_controller.admin`, `cloud_controller.admin_read_only` or `cloud_controller.global_auditor`.";
const WRITE = "Needs `cloud_controller.admin`.";

/** The OpenAPI 3.1 document of the endpoint and of the operator's API, made of the schemas that the Worker goes by. */
export async function openApiDocument(): Promise<object> {
  const failures = await failureResponses(["catalog-unavailable"]);
  return {
    openapi: "3.1.1",
    info: {
      title: manifest.name,
      version: manifest.version,
      summary: manifest.description,
      description:
        "Which files of an app a Cloud Foundry platform already holds, and what its operator may see and tell of that.",
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
      { name: "matches", description: "What `cf push` asks." },
      { name: "cache", description: "The operator's way in." },
    ],
    paths: {
      "/v3/resource_matches": {
        post: {
          operationId: "matchResources",
          tags: ["matches"],
          summary: "Which of these files does the platform hold?",
          description:
            "Needs `cloud_controller.write` or `cloud_controller.admin`. In shadow mode (`MODE`) the Cloud Controller " +
            "answers: the request is passed through, and its answer relayed as it came, whatever the status, headers and body.",
          requestBody: body("ResourceMatchesRequest", examples.QUESTION),
          responses: await orRelayed({
            201: answer("ResourceMatches", "The entries that are held.", examples.MATCHES, {
              "X-Cf-Warnings": { $ref: "#/components/headers/X-Cf-Warnings" },
              "Server-Timing": { $ref: "#/components/headers/Server-Timing" },
            }),
            ...(await failureResponses(
              ["parse-error", "app-bits-upload-disabled", "body-too-large", "cloud-controller-unavailable"],
              failureFrom(parseResources('{"resources":[]}')),
            )),
            409: {
              ...answer("Errors", "What the Cloud Controller answers with 409, relayed as it came."),
              description: "What the Cloud Controller answered, as it came; its 401 and 403 likewise.",
            },
          }),
        },
      },
      "/v3/resource_matches/cache": {
        get: {
          operationId: "getStatus",
          tags: ["cache"],
          summary: "How is the cache, and how is the Worker set up?",
          description: `${READ} A browser, which prefers HTML, gets a page that asks for a token and shows the status.`,
          responses: {
            200: withPage(answer("CacheStatus", "The status.", examples.STATUS)),
            ...failures,
          },
        },
        delete: {
          operationId: "forgetEverything",
          tags: ["cache"],
          summary: "Forget everything.",
          description: `Nothing is believed any more that was seen before. ${WRITE}`,
          responses: {
            204: { description: "Everything is forgotten.", headers: COMMON_HEADERS },
            ...failures,
          },
        },
      },
      "/v3/resource_matches/cache/resources": {
        get: {
          operationId: "listResources",
          tags: ["cache"],
          summary: "What does the cache hold?",
          description: `Page by page, 10,000 resources each. ${READ}`,
          parameters: [
            {
              name: "after",
              in: "query",
              description: "The SHA-1 to begin after: `after` of the page before.",
              schema: { type: "string", pattern: "^[0-9A-Fa-f]{40}$" },
            },
          ],
          responses: {
            200: answer("ResourcePage", "A page.", examples.PAGE),
            ...(await failureResponses(
              ["catalog-unavailable"],
              new Failure({ kind: "unprocessable", violations: ["After must be a SHA-1 of 40 hex digits"] }),
            )),
          },
        },
      },
      "/v3/resource_matches/cache/observations": {
        post: {
          operationId: "reportObservations",
          tags: ["cache"],
          summary: "Tell what was seen of the pool.",
          description: `Of each SHA-1 the later observation wins, whatever comes first. ${WRITE}`,
          requestBody: body("ObservationsRequest", examples.OBSERVATIONS),
          responses: {
            200: answer("ObservationsAnswer", "What became of it.", examples.OBSERVED),
            ...(await failureResponses(
              ["parse-error", "body-too-large", "catalog-unavailable"],
              failureFrom(parseObservations('{"remove":[]}', 0)),
            )),
          },
        },
      },
      "/v3/resource_matches/cache/publication": {
        post: {
          operationId: "republish",
          tags: ["cache"],
          summary: "Publish everything anew.",
          description: `A new snapshot, and all keys again: mends a namespace that was damaged or emptied. ${WRITE}`,
          responses: {
            202: answer("CacheStatus", "It has begun; the status before it.", examples.STATUS),
            ...failures,
          },
        },
      },
    },
    components: { responses: await sharedResponses(), ...components() },
  };
}

function body(schema: string, example: object): object {
  return {
    required: true,
    description: "At most 15 MiB. Its Content-Type is not looked at.",
    content: { "application/json": { schema: ref(schema), example } },
  };
}

/** The same answer for who prefers HTML: nothing of the cache is in it, and it needs no token. */
function withPage(status: { content: object }): object {
  return { ...status, content: { ...status.content, "text/html": { schema: { type: "string" } } } };
}

function answer(schema: string, description: string, example?: object, headers: object = {}) {
  const content = { schema: ref(schema), ...(example && { example }) };
  return {
    description,
    headers: { ...COMMON_HEADERS, ...headers },
    content: { "application/json": content },
  };
}

/** Of a request that is wrong, so that the example is what the Worker says of it. */
function failureFrom(outcome: unknown): Failure {
  if (outcome instanceof Failure) return outcome;
  throw new Error("The example of a wrong request is valid.");
}
