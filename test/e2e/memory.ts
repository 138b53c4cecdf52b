import { readdir, readFile } from "node:fs/promises";

/** A process of Linux as `/proc` tells of it. */
async function read(pid: string, file: string): Promise<string> {
  // It may have ended by now.
  return readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
}

/** Resident bytes of all processes called `name` in a process group; needs Linux. */
export async function residentBytes(group: number, name: string): Promise<number> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const sizes = await Promise.all(
    pids.map(async (pid) => {
      // `pid (name) state parent group …`
      const [, called, memberOf] = /^\d+ \((.*)\) \S+ \d+ (\d+)/s.exec(await read(pid, "stat")) ?? [];
      if (called !== name || Number(memberOf) !== group) return 0;
      const [, kilobytes = "0"] = /^VmRSS:\s+(\d+) kB/m.exec(await read(pid, "status")) ?? [];
      return Number(kilobytes) * 1024;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
