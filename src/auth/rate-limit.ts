import { Failure } from "../failure.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { TIMEOUT_MS, withTimeout } from "../time/timeouts.ts";
import type { Caller } from "./caller.ts";

/** A failure where a caller asks too often. */
export async function limitRate(
  caller: Caller,
  { configuration, log }: RequestContext,
): Promise<Failure | undefined> {
  const { rateLimiter } = configuration;
  if (!rateLimiter) return undefined;
  try {
    const outcome = await withTimeout(TIMEOUT_MS.rateLimiter, rateLimiter.limit({ key: caller.id }));
    return outcome.success === false
      ? new Failure({ kind: "rate-limited", reason: `caller ${caller.id}` })
      : undefined;
  } catch (error) {
    // A limiter out of order, or one that hangs, must not keep anybody from pushing.
    log.error("rate-limiter-unavailable", { cause: causeOf(error) });
    return undefined;
  }
}
