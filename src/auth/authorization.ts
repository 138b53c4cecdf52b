import { Failure } from "../failure.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { authenticate, type Caller } from "./authentication.ts";
import { ADMIN_SCOPE, CACHE_READ_SCOPES, PUSH_SCOPES } from "./scopes.ts";

/** The failure of an authenticated caller that may not match resources; undefined if it may. */
export async function authorizePush(caller: Caller, context: RequestContext): Promise<Failure | undefined> {
  const failure = (await limitRate(caller, context)) ?? requireScope(caller, PUSH_SCOPES);
  if (failure) return failure;
  if (context.configuration.features.appBitsUpload || caller.scopes.has(ADMIN_SCOPE)) return undefined;
  return new Failure({ kind: "app-bits-upload-disabled", reason: "FEATURE_APP_BITS_UPLOAD is false" });
}

/** Authenticates a caller of the operator API. */
export async function authorizeOperator(
  request: Request,
  access: "read" | "write",
  context: RequestContext,
): Promise<Caller | Failure> {
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const scopes = access === "write" ? [ADMIN_SCOPE] : CACHE_READ_SCOPES;
  return (await limitRate(caller, context)) ?? requireScope(caller, scopes) ?? caller;
}

/** A rate limiter that fails or does not respond in time limits no one (R2.1). */
async function limitRate(
  caller: Caller,
  { configuration, log }: RequestContext,
): Promise<Failure | undefined> {
  const { rateLimiter } = configuration;
  if (!rateLimiter) return undefined;
  try {
    const { success } = await withTimeout(TIMEOUT_MS.rateLimiter, rateLimiter.limit({ key: caller.id }));
    if (success === false) return new Failure({ kind: "rate-limited", reason: `caller ${caller.id}` });
  } catch (error) {
    log.error("rate-limiter-unavailable", { cause: causeOf(error) });
  }
  return undefined;
}

function requireScope(caller: Caller, scopes: readonly string[]): Failure | undefined {
  if (scopes.some((scope) => caller.scopes.has(scope))) return undefined;
  return new Failure({ kind: "not-authorized", reason: `none of ${scopes.join(", ")}` });
}
