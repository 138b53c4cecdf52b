import { authenticate } from "../auth/authentication.ts";
import { Failure } from "../failure.ts";
import { receiveBody } from "../received-body.ts";
import type { RequestContext } from "../request-context.ts";
import { refusalOf } from "./access.ts";
import { answerQuestion } from "./answer-question.ts";
import { readQuestion } from "./question.ts";

/** Answers `POST /v3/resource_matches`: which of the files of an app the platform already holds. */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const body = await receiveBody(request);
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const refusal = await refusalOf(caller, context);
  if (refusal) return refusal;
  const question = readQuestion(body, context.configuration.eligibility);
  if (question instanceof Failure) return question;
  const authorization = request.headers.get("Authorization") ?? "";
  return answerQuestion(question, { id: caller.id, authorization }, context);
}
