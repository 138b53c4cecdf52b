import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { inject } from "vitest";

/** Lines of progress: they depend on the time that a run takes, so tests must not see them. */
const PROGRESS =
  /^(\[[# ]+\] +\d+ % {2})?[\d,]+ (of [\d,]+ )?(files?|(rejected )?resources?) (read|compared|verified|requested)\b.*\/s.*\n/gm;

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
  input?: string | Uint8Array;
  onStart?: (child: ChildProcess) => void;
  /** Whether it gets its own process group, like a command in a terminal. */
  ownGroup?: boolean;
}

/** Runs the command in a process. */
export async function resourcePool(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { CF_TOKEN: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [inject("resourcePool"), ...args], {
    cwd: options.cwd,
    detached: options.ownGroup === true,
    env: { ...inherited, ...options.env },
  });
  options.onStart?.(child);
  // The command may end before it has read all its input.
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
 * Runs the command in a thread, which costs a third of a process. It can't get signals, and its start time is that of the
 * process of the tests. Paths are relative to `cwd`, as with `npm run resource-pool`.
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

/** Called by test/cli/clean-up.ts after the last test of a file. */
export async function cleanUp(): Promise<void> {
  for (const each of cleanUps.splice(0).reverse()) await each();
}

/** Calls `cleanUp` after the last test of the file: its tests run concurrently. */
export function afterTests(cleanUp: () => unknown): void {
  cleanUps.push(cleanUp);
}

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "resource-pool-"));
  afterTests(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
