import { readdirSync, readFileSync } from "node:fs";

/** Of a process, as the kernel counts it; NaN where there is no /proc. */
export interface Usage {
  /** Resident. */
  bytes: number;
  /** Of all threads since the start. */
  cpuMs: number;
}

const CLOCK_TICK_MS = 10;

export function usageOf(pid: number | undefined): Usage {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  // After the name, which may hold blanks: state is the first field, utime the 12th, stime the 13th.
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  return {
    bytes: Number(kilobytes) * 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS,
  };
}

/** The processes of that name that this process has started; none where there is no /proc. */
export function childrenNamed(name: string): number[] {
  if (process.platform !== "linux") return [];
  const parent = new RegExp(`^PPid:\\s+${process.pid}$`, "m");
  const isOurs = (status: string) => status.startsWith(`Name:\t${name}\n`) && parent.test(status);
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return pids.filter((pid) => isOurs(read(`/proc/${pid}/status`))).map(Number);
}

/** Empty where it is gone, or never was. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
