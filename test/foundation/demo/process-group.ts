/** What a group gets to end by itself before it is killed. */
export const EXIT_MAX_MS = 3_000;

/** Signals every process of the group that `leader` leads or led; nothing happens where none is left. */
export function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
