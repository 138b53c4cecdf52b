import { authorizeOperator } from "../auth/authorization.ts";
import { callCatalog } from "../catalog/call-catalog.ts";
import { Failure } from "../failure.ts";
import { decodeBody, readRequestBody } from "../http/body.ts";
import { jsonResponse } from "../http/json-response.ts";
import type { RequestContext } from "../request-context.ts";
import { parseResourceKey, type ResourceKey } from "../resources/resource-key.ts";
import { isSha1Hex } from "../resources/sha1.ts";
import { parseObservations } from "./observations.ts";
import { prefersHtml } from "./page/accept.ts";
import { statusPage } from "./page/page.ts";
import type { CachedResource, ResourcePage } from "./responses.ts";
import { createStatus } from "./status.ts";

/** `GET …/cache`: the status as JSON, or the status page for a browser. */
export async function getStatus(request: Request, context: RequestContext): Promise<Response | Failure> {
  if (prefersHtml(request.headers.get("Accept"))) return statusPage();
  const caller = await authorizeOperator(request, "read", context);
  return caller instanceof Failure ? caller : statusResponse(200, context);
}

/** `GET …/cache/resources?after=<sha1>`: a page of the catalog's resources. */
export async function listResources(request: Request, context: RequestContext): Promise<Response | Failure> {
  const caller = await authorizeOperator(request, "read", context);
  if (caller instanceof Failure) return caller;
  const after = new URL(request.url).searchParams.get("after")?.toLowerCase();
  if (after !== undefined && !isSha1Hex(after)) {
    return new Failure({ kind: "unprocessable", violations: ["after must be a SHA-1 of 40 hex digits"] });
  }
  const page = await callCatalog(context.configuration, (catalog) => catalog.page(after));
  if (page instanceof Failure) return page;
  const { resources, ...next } = page;
  return toJsonResponse<ResourcePage>({ resources: resources.map(toCachedResource), ...next });
}

/** `POST …/cache/observations`: reports observations of the pool to the catalog. */
export async function reportObservations(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  // Before the body is read, which may take long: the pool was observed before the body was sent.
  const arrivedAt = Date.now();
  const body = await readRequestBody(request);
  if (body instanceof Failure) return body;
  const caller = await authorizeOperator(request, "write", context);
  if (caller instanceof Failure) return caller;
  const text = decodeBody(body);
  if (text instanceof Failure) return text;
  const observations = parseObservations(text, arrivedAt);
  if (observations instanceof Failure) return observations;

  const result = await callCatalog(context.configuration, (catalog) => catalog.observe(observations));
  if (result instanceof Failure) return result;
  const { changed, unchanged, refused } = result;
  context.log.info("observations-recorded", { caller: caller.id, changed, unchanged, refused });
  return toJsonResponse(result);
}

/** `POST …/cache/publication`: writes a new snapshot and all keys. */
export async function republish(request: Request, context: RequestContext): Promise<Response | Failure> {
  const caller = await authorizeOperator(request, "write", context);
  if (caller instanceof Failure) return caller;
  const failure = await callCatalog(context.configuration, (catalog) => catalog.publish());
  if (failure instanceof Failure) return failure;
  context.log.info("cache-publication", { caller: caller.id });
  return statusResponse(202, context);
}

/** `DELETE …/cache`: removes all resources, and refuses observations from before. */
export async function forgetEverything(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const caller = await authorizeOperator(request, "write", context);
  if (caller instanceof Failure) return caller;
  const failure = await callCatalog(context.configuration, (catalog) => catalog.forget());
  if (failure instanceof Failure) return failure;
  context.log.info("cache-forgotten", { caller: caller.id });
  return new Response(null, { status: 204 });
}

async function statusResponse(httpStatus: number, context: RequestContext): Promise<Response | Failure> {
  const time = new Date().toISOString();
  const status = await callCatalog(context.configuration, (catalog) => catalog.status());
  if (status instanceof Failure) return status;
  return toJsonResponse(createStatus(status, context.configuration, time), httpStatus);
}

function toCachedResource(key: ResourceKey): CachedResource {
  const { sha1, size } = parseResourceKey(key);
  return { checksum: { value: sha1 }, size_in_bytes: size };
}

function toJsonResponse<T>(body: T, status = 200): Response {
  return jsonResponse(JSON.stringify(body), status);
}
