/**
 * Runs a command in a process group of its own, and ends the whole group when the process that asked for it is
 * gone, however it ended: workerd outlives a wrangler that is killed, and keeps its port.
 *
 *     node supervise.ts <program> <argument>…
 *
 * To be started with `fork` and `detached`. Exits with the command's exit code.
 */
import { spawn } from "node:child_process";
import { EXIT_MAX_MS, signalGroup } from "./process-group.ts";

const [program = "", ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
child.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
child.on("exit", (code) => process.exit(code ?? 1));

// The command gets them too, being of the same group, and says when it is done.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

process.on("disconnect", () => {
  signalGroup(process.pid, "SIGTERM");
  setTimeout(() => signalGroup(process.pid, "SIGKILL"), EXIT_MAX_MS);
});
