import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

/** What a run of cf ended with. */
export interface CfOutcome {
  /** The exit code. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Path of the cf binary that `CF_CLI` names; undefined where the variable is not set.
 *
 * @throws Error where it names no file
 */
export function findCf(): string | undefined {
  const { CF_CLI } = process.env;
  if (!CF_CLI) return undefined;
  if (!statSync(CF_CLI, { throwIfNoEntry: false })?.isFile()) {
    throw new Error(
      `CF_CLI names ${CF_CLI}, which is not a file. Set it to the path of a cf binary, 8.12 or later.`,
    );
  }
  return resolve(CF_CLI);
}

/**
 * Runs cf in a process of its own. Its environment has no variables of the developer's cf, such as `CF_TRACE`, or
 * `CF_B3_TRACE_ID`, which would give all runs one trace id.
 *
 * @param home where cf keeps its target and its tokens; also its working directory
 */
export async function runCf(cf: string, args: readonly string[], home: string): Promise<CfOutcome> {
  const { PATH = "", TMPDIR = "" } = process.env;
  const child = spawn(cf, args, {
    cwd: home,
    env: { PATH, TMPDIR, HOME: home, CF_HOME: home, CF_COLOR: "false" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = new Promise<number | null>((resolve, reject) =>
    child.on("close", resolve).on("error", reject),
  );
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, stdout, stderr };
}
