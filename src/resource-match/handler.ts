import { authenticate } from "../auth/authentication.ts";
import { readRequestBody } from "../body.ts";
import { Failure } from "../failure.ts";
import { BODY_MAX_BYTES } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { refusalOf } from "./access.ts";
import { answer, answerQuestion } from "./answer-question.ts";
import { readQuestion } from "./question.ts";

const NOTHING = '{"resources":[]}';

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
  const { eligibility, features } = context.configuration;
  const question = readQuestion(body, eligibility);
  if (question instanceof Failure) return question;

  if (!features.resourceMatching) return answer(NOTHING);
  const authorization = request.headers.get("Authorization") ?? "";
  return answerQuestion(question, { id: caller.id, authorization }, context);
}
