import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

/** The outcome of a run of cf. */
export interface CfOutcome {
  /** The exit code. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * The path of the cf binary in the variable `CF_CLI`; undefined if it is not set.
 *
 * @throws Error if it is not a file
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
 * Runs cf in its own process, without the variables of the developer's cf: `CF_B3_TRACE_ID`, for example, would give all runs the same
 * trace id.
 *
 * @param home the directory where cf stores its target and tokens; also its working directory
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
