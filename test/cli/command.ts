import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { inject } from "vitest";

/** Lines that come where a run takes long: on which of them come, no test may depend. */
const PROGRESS =
  /^(\[[# ]+\] +\d+ % {2})?[\d,]+ (of [\d,]+ )?(files?|resources?) (read|compared|verified|asked for)\b.*\/s.*\n/gm;

export interface Outcome {
  /** The exit code. */
  code: number | null;
  stdout: string;
  stderr: string;
}

interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** For stdin. */
  input?: string;
  onStart?: (child: ChildProcess) => void;
  /** Whether it leads a process group, as a command in a terminal does. */
  ownGroup?: boolean;
}

/** Runs the real command in a process of its own. */
export async function resourcePool(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { CF_TOKEN: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [inject("resourcePool"), ...args], {
    cwd: options.cwd,
    detached: options.ownGroup === true,
    env: { ...inherited, ...options.env },
  });
  options.onStart?.(child);
  // It is no error if the command ends before it has read or said everything.
  child.stdin.on("error", () => {}).end(options.input ?? "");
  const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout).catch(() => ""),
    text(child.stderr),
    closed,
  ]);
  return { code, stdout, stderr: stderr.replaceAll(PROGRESS, "") };
}

/**
 * Runs the real command in a thread, for a third of what a process costs: where neither signals nor the process itself
 * matter, nor when it began: that is when the process of the tests did. Its paths start from `cwd` as those of
 * `npm run resource-pool` do.
 */
export async function resourcePoolInThread(
  args: readonly string[],
  { cwd, env, input }: Pick<RunOptions, "cwd" | "env" | "input"> = {},
): Promise<Outcome> {
  const { CF_TOKEN: _, ...inherited } = process.env;
  const directory = cwd === undefined ? {} : { npm_lifecycle_event: "resource-pool", INIT_CWD: cwd };
  const thread = new Worker(inject("resourcePool"), {
    argv: [...args],
    env: { ...inherited, ...directory, ...env },
    stdin: true,
    stdout: true,
    stderr: true,
  });
  thread.stdin?.end(input ?? "");
  const ended = new Promise<number>((resolve, reject) => thread.on("exit", resolve).on("error", reject));
  const [stdout, stderr, code] = await Promise.all([text(thread.stdout), text(thread.stderr), ended]);
  return { code, stdout, stderr: stderr.replaceAll(PROGRESS, "") };
}

const cleanUps: (() => unknown)[] = [];

/** Once the last test of a file has ended: test/cli/clean-up.ts. */
export async function cleanUp(): Promise<void> {
  for (const each of cleanUps.splice(0).reverse()) await each();
}

/** After the file's last test: its tests run side by side. */
export function whenAllIsOver(cleanUp: () => unknown): void {
  cleanUps.push(cleanUp);
}

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "resource-pool-"));
  whenAllIsOver(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
