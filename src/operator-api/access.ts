import { authenticate } from "../auth/authentication.ts";
import type { Caller } from "../auth/caller.ts";
import { limitRate } from "../auth/rate-limit.ts";
import { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";

const WRITERS = ["cloud_controller.admin"];
const READERS = [
  "cloud_controller.admin",
  "cloud_controller.admin_read_only",
  "cloud_controller.global_auditor",
];

/** The caller, if its token allows it to read the cache, or to write it. */
export async function admit(
  request: Request,
  to: "read" | "write",
  context: RequestContext,
): Promise<Caller | Failure> {
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const limited = await limitRate(caller, context);
  if (limited) return limited;
  const scopes = to === "write" ? WRITERS : READERS;
  return scopes.some((scope) => caller.scopes.has(scope))
    ? caller
    : new Failure({ kind: "not-authorized", reason: `none of ${scopes.join(", ")}` });
}
