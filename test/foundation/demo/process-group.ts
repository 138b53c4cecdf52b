/** Time that a process group has to exit before it is killed. */
export const EXIT_MAX_MS = 3_000;

/** Signals every process of the group of `leader`. Does nothing if the group has no process. */
export function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
