import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export interface WranglerArguments {
  /** Whether nothing will be deployed. */
  isDryRun: boolean;
  config: string | undefined;
  env: string | undefined;
  /** Of `--var NAME:value`. */
  variables: Record<string, string>;
  /** Whether `--route` or `--routes` is told. */
  hasRoutes: boolean;
}

/** Bundles without deploying: `wrangler build` and `wrangler check startup`. */
const BUNDLERS = ["build", "check"];

/**
 * What the wrangler that runs this process was told. It tells its custom build only which command it is, so that the
 * rest is read from its command line.
 */
export function wranglerArguments(): WranglerArguments {
  const args = commandLineOfWrangler();
  const { values, positionals } = parseArgs({
    args,
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      cwd: { type: "string" },
      var: { type: "string", multiple: true },
      "dry-run": { type: "boolean" },
    },
    strict: false,
    allowPositionals: true,
  });
  const pairs = variableWords(args).map((word) => /^(\w+):(.*)$/s.exec(word));
  return {
    isDryRun: String(values["dry-run"]) === "true" || BUNDLERS.includes(positionals[0] ?? ""),
    config: values.config as string | undefined,
    env: values.env as string | undefined,
    hasRoutes: args.some((arg) => /^--routes?(=|$)/.test(arg)),
    variables: Object.fromEntries(pairs.flatMap((pair) => (pair ? [[pair[1], pair[2]]] : []))),
  };
}

/** The words of `--var A:1 B:2 --var=C:3`. */
function variableWords(args: readonly string[]): string[] {
  const words: string[] = [];
  let isVariable = false;
  for (const arg of args) {
    if (arg.startsWith("-")) isVariable = /^--var(=|$)/.test(arg);
    if (isVariable && arg !== "--var") words.push(arg.replace(/^--var=/, ""));
  }
  return words;
}

function commandLineOfWrangler(): string[] {
  try {
    for (let pid = process.ppid; pid > 1; ) {
      const { parent, line } = processOf(pid);
      const program = line.findIndex((word) => /[\\/]wrangler-dist[\\/]cli\.js$/.test(word));
      if (program !== -1) return line.slice(program + 1);
      pid = parent;
    }
  } catch {
    // Windows tells neither way; what an npm script runs is known all the same.
  }
  return (process.env.npm_lifecycle_script ?? "").split(/\s+/).slice(1);
}

/** The parent of a process, and its command line as words. */
function processOf(pid: number): { parent: number; line: string[] } {
  if (process.platform === "linux") {
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return { parent: Number(parent), line };
  }
  const [parent, ...line] = execFileSync("ps", ["-ww", "-o", "ppid=,args=", "-p", String(pid)], {
    encoding: "utf8",
  })
    .trim()
    .split(/\s+/);
  return { parent: Number(parent), line };
}
