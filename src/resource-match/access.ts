import type { Caller } from "../auth/caller.ts";
import { limitRate } from "../auth/rate-limit.ts";
import { Failure } from "../failure.ts";
import type { RequestContext } from "../request-context.ts";

/** Why a caller may not ask, if so: too often, without the scope, or while app_bits_upload is off. */
export async function refusalOf(caller: Caller, context: RequestContext): Promise<Failure | undefined> {
  return (await limitRate(caller, context)) ?? authorize(caller, context);
}

function authorize({ scopes }: Caller, { configuration }: RequestContext): Failure | undefined {
  const isAdmin = scopes.has("cloud_controller.admin");
  if (!isAdmin && !scopes.has("cloud_controller.write")) {
    return new Failure({
      kind: "not-authorized",
      reason: "neither cloud_controller.write nor cloud_controller.admin",
    });
  }
  if (!isAdmin && !configuration.features.appBitsUpload) {
    return new Failure({ kind: "app-bits-upload-disabled", reason: "FEATURE_APP_BITS_UPLOAD is false" });
  }
  return undefined;
}
