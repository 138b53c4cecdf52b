import { type Configuration, perConfiguration } from "../configuration.ts";
import { Failure, type FailureKind } from "../failure.ts";
import { keepNewest } from "../keep-newest.ts";
import { passThrough } from "../pass-through.ts";
import { hasDecisions } from "../push-sessions/push-session.ts";
import { SESSION_IDLE_MAX_MS } from "../time/time-guarantees.ts";

const OWN_FAILURES: readonly FailureKind[] = ["uaa-unavailable", "unverifiable-token", "unexpected"];
const PUSHES_MAX = 100;

/** When the Cloud Controller last matched resources in place of the Worker, by push id. */
const failedOpenOf = perConfiguration(() => new Map<string, number>());

/** The push of a request, as far as it is known. */
export interface Push {
  /** Undefined if the client does not identify it. */
  id: string | undefined;
  /** GUID of the user or id of the client; undefined before the token is verified. */
  caller: string | undefined;
}

/** Whether an earlier request of the push failed open in this isolate: then all of its requests do (R3.8). */
export function hasFailedOpen({ id = "" }: Push, configuration: Configuration): boolean {
  const at = failedOpenOf(configuration).get(id);
  return at !== undefined && Date.now() - at <= SESSION_IDLE_MAX_MS;
}

/** Whether the Worker caused a failure. All others are caused by the request. */
export function isOwnFailure({ kind }: Failure): boolean {
  return OWN_FAILURES.includes(kind);
}

/**
 * Lets the Cloud Controller respond to a request that the Worker can't handle (R2.6). If this isolate knows decisions of the push,
 * the two might disagree, and the app would lose a file: then the push has to be repeated (R3.8).
 *
 * @param request unread
 * @returns `failed-open`, `push-again`, or the failure to reach the Cloud Controller
 */
export async function failOpen(
  reason: string,
  request: Request,
  cloudControllerUrl: string,
  push: Push,
  configuration: Configuration,
): Promise<Failure> {
  if (hasDecisions(configuration, push.id ?? "", push.caller)) {
    return new Failure({ kind: "push-again", reason });
  }
  const response = await passThrough(request, cloudControllerUrl);
  if (response instanceof Failure) {
    const causes = `${response.reason}; failed open because of ${reason}`;
    return new Failure({ kind: "cloud-controller-unavailable", reason: causes });
  }
  // A refusal has decided nothing. After a 401, cf CLI repeats the request with a new token.
  if (response.ok) remember(push, configuration);
  return new Failure({ kind: "failed-open", reason, response });
}

function remember({ id }: Push, configuration: Configuration): void {
  if (id === undefined) return;
  keepNewest(failedOpenOf(configuration), id, Date.now(), PUSHES_MAX);
}
