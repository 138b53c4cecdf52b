import { currentInvocation, type Kernel } from "./kernel.ts";
import type { Invocation } from "./process.ts";

export type Outcome<T> = { value: T } | { error: Error };

/**
 * Something that another machine is asked for. The question leaves when the caller's process may send it, and the
 * answer wakes the invocation that asked. A question that is never answered hangs.
 *
 * @param perform gets the question; `answer` may be called at any later time, or never
 */
export function askRemotely<T>(
  kernel: Kernel,
  perform: (answer: (outcome: Outcome<T>) => void, invocation: Invocation) => void,
): Promise<T> {
  const invocation = currentInvocation();
  if (!invocation) throw new Error("a binding was used outside of the simulation");
  invocation.spend();
  return new Promise((resolve, reject) => {
    const answer = (outcome: Outcome<T>) =>
      kernel.wake(kernel.now, invocation, () => {
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.value);
      });
    invocation.process.send(() => perform(answer, invocation));
  });
}
