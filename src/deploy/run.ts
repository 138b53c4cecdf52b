/**
 * `npm run deploy -- --config <file>`: checks the configuration, then runs wrangler.
 *
 *     node src/deploy/run.ts <command of wrangler> <option>…
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { deploymentProblems } from "./deployment-problems.ts";

// `npm run` changes to the project's directory. Wrangler has to run there too, as the command of [build] is relative to it.
const { INIT_CWD: directory = process.cwd() } = process.env;
const args = withAbsoluteConfig(process.argv.slice(2));
try {
  const problems = deploymentProblems(args, directory);
  if (problems.length > 0) throw new Error(["Not deployed. Fix this first:", ...problems].join("\n  "));
  const wrangler = dirname(createRequire(import.meta.url).resolve("wrangler/package.json"));
  const { status } = spawnSync(process.execPath, [join(wrangler, "bin/wrangler.js"), ...args], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** Resolves `--config` against the user's directory. */
function withAbsoluteConfig(args: string[]): string[] {
  return args.map((arg, index) => {
    const [, option, path] = /^(--config=|-c=?)(.+)/.exec(arg) ?? [];
    if (option !== undefined && path !== undefined) return `--config=${resolve(directory, path)}`;
    return /^(--config|-c)$/.test(args[index - 1] ?? "") ? resolve(directory, arg) : arg;
  });
}
