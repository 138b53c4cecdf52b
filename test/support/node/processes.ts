import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** The resource usage of a process; NaN without /proc. */
export interface Usage {
  /** Resident memory. */
  bytes: number;
  /** CPU time of all threads since the start. */
  cpuMs: number;
}

const CLOCK_TICK_MS = 10;

export function usageOf(pid: number | undefined): Usage {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readIfPresent(`/proc/${pid}/status`)) ?? [];
  // The fields after the name, which may contain spaces: state is the first, utime the 12th, stime the 13th.
  const fields = readIfPresent(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  return {
    bytes: Number(kilobytes) * 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS,
  };
}

/** Makes `peakOf` count from now on. Needs /proc. */
export function resetPeak(pid: number | undefined): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** The peak of the resident memory of a process, in bytes; NaN without /proc. */
export function peakOf(pid: number | undefined): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readIfPresent(`/proc/${pid}/status`)) ?? [];
  return Number(kilobytes) * 1024;
}

/** PIDs of the children of this process that have this name; none without /proc. */
export function childrenNamed(name: string): number[] {
  if (process.platform !== "linux") return [];
  const parent = new RegExp(`^PPid:\\s+${process.pid}$`, "m");
  const isOwnChild = (status: string) => status.startsWith(`Name:\t${name}\n`) && parent.test(status);
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return pids.filter((pid) => isOwnChild(readIfPresent(`/proc/${pid}/status`))).map(Number);
}

/** The text of a file; empty if it does not exist. */
function readIfPresent(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
