import type { Caller } from "./auth/authentication.ts";
import { Failure } from "./failure.ts";
import { causeOf } from "./log.ts";
import type { RequestContext } from "./request-context.ts";

/** A failure where a caller asks too often. */
export async function limitRate(
  caller: Caller,
  { configuration, log }: RequestContext,
): Promise<Failure | undefined> {
  try {
    const outcome = await configuration.rateLimiter?.limit({ key: caller.id });
    return outcome?.success === false ? new Failure("rate-limited", `caller ${caller.id}`) : undefined;
  } catch (error) {
    // A limiter out of order must not keep anybody from pushing.
    log.error("rate-limiter-unavailable", { cause: causeOf(error) });
    return undefined;
  }
}
