import type { Bug } from "../schedule.ts";
import { MatchRequest, PushSession, UaaKeys } from "./code-under-test.ts";
import { replace } from "./globals.ts";
import { currentInvocation, type Kernel } from "./kernel.ts";
import type { Invocation } from "./process.ts";

export const BUG_MESSAGE = "a simulated bug";

/** Whether each world has a bug in an invocation. */
export const bugs = new WeakMap<Kernel, (invocation: Invocation, bug: Bug) => boolean>();

/** Makes the code under test throw. @returns a function that restores it */
export function installBugs(): () => void {
  const undo = [
    throwBefore(UaaKeys.prototype, "find", "in-authentication"),
    throwBefore(MatchRequest.prototype, "sessionRequest", "before-session"),
    throwBefore(PushSession.prototype, "decide", "after-lookup"),
    throwBefore(MatchRequest.prototype, "responseBody", "after-decision"),
  ];
  return () => {
    for (const restore of undo) restore();
  };
}

function throwBefore(prototype: object, method: string, bug: Bug): () => void {
  const real = Reflect.get(prototype, method);
  return replace(prototype, method, function (this: unknown, ...parameters: unknown[]) {
    const invocation = currentInvocation();
    if (invocation && bugs.get(invocation.kernel)?.(invocation, bug)) throw new Error(BUG_MESSAGE);
    return real.apply(this, parameters);
  });
}
