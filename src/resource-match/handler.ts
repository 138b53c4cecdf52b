import { authenticate } from "../auth/authentication.ts";
import { decodeBody, readRequestBody } from "../body.ts";
import { Failure } from "../failure.ts";
import { BODY_MAX_BYTES } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { refusalOf } from "./access.ts";
import { answer, answerResources } from "./answer-resources.ts";
import { condense } from "./condense.ts";
import { parseResources } from "./request.ts";

/** Answers `POST /v3/resource_matches`: which of the files of an app the platform already holds. */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const body = await readRequestBody(request, BODY_MAX_BYTES);
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const refusal = await refusalOf(caller, context);
  if (refusal) return refusal;
  const condensed = condense(body);
  if (condensed instanceof Failure) return condensed;
  const text = decodeBody(condensed);
  if (text instanceof Failure) return text;
  const resources = parseResources(text);
  if (resources instanceof Failure) return resources;

  if (!context.configuration.features.resourceMatching) return answer([]);
  const authorization = request.headers.get("Authorization") ?? "";
  return answerResources(resources, { id: caller.id, authorization }, context);
}
