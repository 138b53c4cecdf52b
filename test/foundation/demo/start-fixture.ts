import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { freePort } from "../loopback.ts";

/** Runs `npm start` without npm. */
export const start = (...args: string[]) =>
  spawn(process.execPath, ["test/foundation/demo/start.ts", ...args], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });

export type Ports = [worker: number, uaa: number, cloudController: number];

export const portFlags = ([port, uaa, cloudController]: Ports) =>
  ["--port", port, "--uaa-port", uaa, "--cloud-controller-port", cloudController].map(String);

/** Returns three free ports that no earlier call has returned. */
export async function freePorts(): Promise<Ports> {
  const ports: number[] = [];
  while (ports.length < 3) {
    const port = await freePort();
    // Starts that run at once must not get the same port.
    if (!usedPorts.has(port)) ports.push(port);
    usedPorts.add(port);
  }
  return ports as Ports;
}

const usedPorts = new Set<number>();

/** Waits for the exit, and returns the whole output. */
export async function waitForExit(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    readUntil(child.stdout),
    readUntil(child.stderr),
    once(child, "exit"),
  ]);
  return { stdout, stderr, code };
}

/** Reads until the output has `mark`, or to the end. */
export function readUntil(stream: Readable | null, mark?: string): Promise<string> {
  let output = "";
  return new Promise((resolve) => {
    stream?.on("end", () => resolve(output));
    // Keep reading after the mark: the process would fail with EPIPE if the pipe were closed.
    stream?.on("data", (chunk) => {
      output += chunk;
      if (mark !== undefined && output.includes(mark)) resolve(output);
    });
  });
}

/** Copies an example of a wrangler.toml to `directory`, which then has its own data, with other variables. */
export async function writeConfig(
  directory: string,
  example = "read-through",
  variables: Record<string, string> = {},
): Promise<string> {
  const toml = await readFile(join(PROJECT_ROOT, `docs/examples/${example}.toml`), "utf8");
  const path = join(directory, `${example}.toml`);
  const lines = Object.entries(variables).map(([name, value]) => `${name} = "${value}"\n`);
  const others = Object.keys(variables).reduce(
    (text, name) => text.replace(new RegExp(`^${name} = .*\n`, "m"), ""),
    toml,
  );
  await writeFile(path, others.replace("[vars]\n", `[vars]\n${lines.join("")}`));
  return path;
}
