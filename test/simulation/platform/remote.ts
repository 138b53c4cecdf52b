import { currentInvocation, type Kernel } from "./kernel.ts";
import type { Invocation } from "./process.ts";

export type Result<T> = { value: T } | { error: unknown };

/**
 * A call to another machine. It is sent when the caller's process may send messages, and the reply resumes the caller's
 * invocation.
 *
 * @param perform runs on the other machine; it calls `reply` at any later time, or never: then the call hangs
 */
export function callRemote<T>(
  kernel: Kernel,
  perform: (reply: (result: Result<T>) => void, caller: Invocation) => void,
): Promise<T> {
  const caller = currentInvocation();
  if (!caller) throw new Error("a binding was used outside of the simulation");
  caller.countOperation();
  return new Promise((resolve, reject) => {
    const reply = (result: Result<T>) =>
      kernel.wake(kernel.now, caller, () => {
        if ("error" in result) reject(result.error);
        else resolve(result.value);
      });
    caller.process.send(() => perform(reply, caller));
  });
}
