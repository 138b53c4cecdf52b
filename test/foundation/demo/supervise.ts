/**
 * Runs a command in its own process group, and ends the whole group when the parent process is gone, even if it was
 * killed. Without this, workerd would outlive a killed wrangler and keep its port.
 *
 *     node supervise.ts <program> <argument>…
 *
 * Start it with `fork` and `detached`. It exits with the exit code of the command.
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

// The command is in the same group and gets these signals too. Its exit ends this process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

process.on("disconnect", () => {
  signalGroup(process.pid, "SIGTERM");
  setTimeout(() => signalGroup(process.pid, "SIGKILL"), EXIT_MAX_MS);
});
